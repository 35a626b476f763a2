#!/bin/sh
# Runs every fast test, WORKERS at a time. The few that measure times have the CPU whenever they want
# it, beside the others; a user who may not have that runs them afterwards. What fails beside others
# runs again, alone: it is told, and has to pass. `make test` calls it. tests/schedule.py says in which
# order.
set -u
python=$1 workers=$2
fast="not slow and not hardware and not vm"
told=.pytest_cache/quiet.log
status=0 of_quiet=0 running=
# They wait: all five at once, each in a worker of its own, which reads their files only.
quiet() {
  "$@" "$python" -m pytest -m "$fast and quiet" -o cache_dir=.pytest_cache/quiet \
    -n 5 --dist load $(grep -rl 'mark\.quiet' tests --include='*.py')
}
again() {
  echo "run.sh: what failed beside other tests runs again, alone"
  "$python" -m pytest --last-failed --last-failed-no-failures none "$@"
}

rm -f .pytest_cache/v/cache/lastfailed .pytest_cache/quiet/v/cache/lastfailed
# On a fresh clone one process makes what otherwise each worker makes: bytecode, and hypothesis' table
# of characters.
[ -d .hypothesis/unicode_data ] || "$python" -c "from hypothesis.strategies import text; text().validate()"
[ -d .pytest_cache/bytecode ] || "$python" -m pytest --quiet --collect-only >/dev/null || exit
if [ "$(nice -n -20 nice 2>/dev/null)" = -20 ]; then
  quiet nice -n -20 >"$told" 2>&1 &
  running=$!
fi
"$python" -m pytest -n "$workers" --dist loadfile --no-loadscope-reorder -m "$fast and not quiet" || status=$?
if [ -n "$running" ]; then
  wait "$running" || of_quiet=$?
  cat "$told"
else
  quiet env || of_quiet=$?
fi
if [ "$status" = 1 ]; then
  status=0
  again -m "$fast and not quiet" || status=$?
fi
if [ "$of_quiet" = 1 ] && [ -n "$running" ]; then
  of_quiet=0
  again -m "$fast and quiet" -o cache_dir=.pytest_cache/quiet || of_quiet=$?
fi
[ "$status" = 0 ] || exit "$status"
exit "$of_quiet"
