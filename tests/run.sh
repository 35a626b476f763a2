#!/bin/sh
# Runs every fast test, WORKERS at a time. The few that measure times run afterwards, and so does what
# failed beside others: it is told, and has to pass alone. `make test` calls it. tests/schedule.py says
# in which order.
set -u
python=$1 workers=$2
fast="not slow and not hardware and not vm"
status=0
rm -f .pytest_cache/v/cache/lastfailed
# On a fresh clone one process makes what otherwise each worker makes: bytecode, and hypothesis' table
# of characters.
[ -d .hypothesis/unicode_data ] || "$python" -c "from hypothesis.strategies import text; text().validate()"
[ -d .pytest_cache/bytecode ] || "$python" -m pytest --quiet --collect-only >/dev/null || exit
"$python" -m pytest -n "$workers" --dist loadfile --no-loadscope-reorder -m "$fast and not quiet" || status=$?
if [ "$status" = 1 ]; then
  echo "run.sh: what failed beside other tests runs again, alone"
  status=0
  "$python" -m pytest --last-failed --last-failed-no-failures none -m "$fast and not quiet" || status=$?
fi
[ "$status" = 0 ] || exit "$status"
# They wait: all five at once, each in a worker of its own, which reads their files only.
exec "$python" -m pytest -n 5 --dist load -m "$fast and quiet" $(grep -rl 'mark\.quiet' tests --include='*.py')
