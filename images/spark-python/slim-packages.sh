#!/bin/sh
# Takes out of the large packages of requirements.in what only their own developers use: slim-packages.sh <site-packages>
# Nothing that can be imported in earnest goes: their test suites, C headers and static libraries do (no compiler is in the
# image), PyArrow's debugging symbols, and its second and third copy of one library. Packages that users add are left alone.
set -eu
cd "$1"

# Some of them a user may have left out.
find $(for package in numpy pandas pyarrow scipy sklearn matplotlib mpl_toolkits; do [ ! -d "$package" ] || echo "$package"; done) -type d -name tests -prune -exec rm -rf {} +
rm -rf pyarrow/include pyarrow/src numpy/core/include numpy/core/lib/*.a numpy/random/lib/*.a
find pyarrow \( -name '*.pyx' -o -name '*.pxi' -o -name '*.pxd' \) -delete

# NumPy's and pandas' libraries come stripped already, and stripping what auditwheel patched can break it.
find pyarrow -name '*.so*' -type f -exec strip --strip-unneeded {} +
for library in pyarrow/libarrow*.so.*.*.*; do
    [ -f "$library" ] || continue
    for copy in "${library%.*.*}" "${library%.so.*}.so"; do
        if [ -f "$copy" ] && cmp -s "$copy" "$library"; then ln -sf "$(basename "$library")" "$copy"; fi
    done
done
