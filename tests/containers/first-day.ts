import { expect, test } from "vitest";
import type { TestCluster } from "./harness.ts";

/** The expected result of each step of `first_day.py`. */
const FIRST_DAY = {
  categories_become_text: [
    ["c", "string"],
    ["x", "bigint"],
  ],
  pandas_nullable_types: [
    [1, "a", true],
    [null, null, null],
  ],
  pandas_on_spark_reads_what_pandas_wrote: 5,
  pandas_reads_what_pandas_on_spark_wrote: 5,
  pandas_on_spark_plots: "Figure",
  excel: 1,
  pandas_on_spark_takes_what_pandas_takes: [[2, 2], 3, 3, 2],
  pandas_on_spark_resamples: [[3, 12, 21], [36], [36]],
  pandas_on_spark_counts_and_draws: [
    [
      ["a", 1, 2],
      ["b", 2, 1],
    ],
    ["letter", "number"],
    [2],
  ],
  pandas_on_spark_draws_with_matplotlib: [3, ["a"]],
  pandas_on_spark_cuts_text_and_days: [
    [
      [
        ["a", "b c"],
        ["d", "e"],
      ],
      [
        ["a b", "c"],
        ["d", "e"],
      ],
    ],
    ["b c", "e"],
    [[1, 2], [2], [1], []],
    [1],
    [1],
  ],
  pandas_on_spark_applies_with_an_index_that_is_named: [
    [0, 1, 2],
    [2, 3, 4],
    [
      ["x", 0],
      ["x", 1],
      ["y", 2],
    ],
    [2, 3, 4],
  ],
  text_files: 20,
  sequence_files: [2, ["a", "b"]],
  text_of_two_bytes: [
    ["ü", "2"],
    ["😀", "3"],
  ],
  environment_of_executors: ["yes"],
  log_of_ones_own: "my own line\n",
  processes_and_threads: [[1, 2], "triplewide: this process was forked (", [3, 4]],
  program_by_run: 8,
  frames_that_are_displayed: ["the first 20 rows", 2],
  relative_paths_in_functions: ["found", "3"],
  folder_that_is_changed: [2, 2, 1, true, false],
  file_for_executors: ["hellohellogoodbye"],
  file_of_the_web_that_is_not_there: [3, true, [], 2],
  module_beside_the_notebook: [1, 2, 3],
  filters_of_warnings_on_executors: true,
  module_that_was_edited: [
    [1, 2],
    [100, 200],
  ],
  module_of_another_folder: [10],
  module_by_add_py_file: [42],
  window_and_join: 143,
  model_is_saved_and_read: 1,
  model_of_scikit_learn_in_a_udf: [0, 1, 2],
  stream_in_memory: true,
  stream_with_state_and_without_a_checkpoint_folder: [true, null, []],
  folders_that_a_killed_driver_left: [2, true, false],
  streams_to_relative_folders: [2, 2],
  formats: [10, 10, 10, 10],
  other_alphabets: "ü😀",
  table_by_sql: [1, 1],
  cells_of_sql: [
    [
      "id  word     k   json          nothing",
      '2   a;b <i>  k;  {"a": ":no"}  NULL',
      '3   a;b <i>  k;  {"a": ":no"}  NULL',
      "the first 2 rows",
    ].join("\n"),
    2,
    3,
    10,
    ["Py4JJavaError", "UsageError", "UsageError"],
  ],
  table_by_frame: 10,
  table_that_another_session_writes: [5, 10],
  broadcast_of_arrays_and_frames: [100, 103, 106],
  checkpoint: 10,
  interrupt_while_rows_are_awaited: false,
  own_error_is_shown: true,
  session_in_local_mode_and_back: ["local[1]", 3, "spark", 4],
  tests_of_ones_own_code: [0, true],
  homes_of_another_computer: [3, true, "yes"],
  session_that_is_stopped_twice: [2, 3],
  master_of_a_book: [
    [
      [true, true],
      [true, true],
    ],
    4,
  ],
};

/** Runs `first_day.py` twice as a notebook in a folder of its own. For a cluster without HDFS, where relative paths are local files. */
export function firstDay(cluster: TestCluster): void {
  test("what people try on the first day comes out right, and again when they run it a second time", async () => {
    await cluster.bring("first_day.py", "as_notebook.py");
    for (const time of ["first", "second"]) {
      const run = ["python3", "/tmp/as_notebook.py", "/tmp/first_day.py", "/home/spark/work/first-day"];
      const { code, output } = await cluster.exec("client", run);
      expect(code, output.slice(-3000)).toBe(0);
      const said = await cluster.exec("client", ["cat", "/tmp/first_day.json"]);
      expect(JSON.parse(said.output), time).toEqual(FIRST_DAY);
    }
  });
}
