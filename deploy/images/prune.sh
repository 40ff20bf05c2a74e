#!/bin/sh
# In the build stage: takes from /app what doesn't run, and lays the rest out as the final image's two layers.
set -eu
site=/app/lib/python3.13/site-packages
# Bytecode that the build left, with its times in it.
find $site -name __pycache__ -prune -exec rm -rf {} +
# Commands of packages: nothing is started here but Python itself, which stands elsewhere in the final image.
rm -rf /app/bin/* /app/include /app/lib64 /app/.gitignore
ln -s /usr/bin/python3.13 /app/bin/python3.13
sed -i -e 's#^home = .*#home = /usr/bin#' -e '/^\(executable\|command\) = /d' /app/pyvenv.cfg
# What compilers and type checkers read, and the packages' own tests. The sources stay: tracebacks show them.
find $site -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.c' -o -name '*.h' -o -name '*.proto' \) -delete
rm -rf $site/greenlet/tests $site/aiosqlite/tests $site/sqlalchemy/testing
# Symbols that only a debugger reads: a third of all bytes.
find $site -name '*.so' -exec strip --strip-unneeded {} +
mkdir -p /layers/packages /layers/own$site
mv $site/sallyport $site/sallyport_*.dist-info /layers/own$site/
mv /app/share /layers/own/app/
mv /app /layers/packages/
# Nothing of this is started, so nothing has to be executable; libraries are mapped without it.
find /layers -type d -exec chmod 0755 {} + -o -type f -exec chmod 0644 {} +
find /layers -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
