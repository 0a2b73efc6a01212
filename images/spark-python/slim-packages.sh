#!/bin/sh
# Removes what only their own developers use from the large packages of requirements.in: slim-packages.sh <site-packages>
# That is test suites, C headers, static libraries (the image has no compiler), PyArrow's debugging symbols, and the second and third
# copy of one of its libraries. Modules that programs import stay. Packages that users add are not changed.
set -eu
cd "$1"

# A user may have removed some of these packages.
find $(for package in numpy pandas pyarrow scipy sklearn matplotlib mpl_toolkits; do [ ! -d "$package" ] || echo "$package"; done) -type d -name tests -prune -exec rm -rf {} +
rm -rf pyarrow/include pyarrow/src numpy/core/include numpy/core/lib/*.a numpy/random/lib/*.a
find pyarrow \( -name '*.pyx' -o -name '*.pxi' -o -name '*.pxd' \) -delete

# The libraries of NumPy and pandas are stripped already, and stripping what auditwheel patched can break it.
find pyarrow -name '*.so*' -type f -exec strip --strip-unneeded {} +
for library in pyarrow/libarrow*.so.*.*.*; do
    [ -f "$library" ] || continue
    for copy in "${library%.*.*}" "${library%.so.*}.so"; do
        if [ -f "$copy" ] && cmp -s "$copy" "$library"; then ln -sf "$(basename "$library")" "$copy"; fi
    done
done
