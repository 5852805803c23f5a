#!/usr/bin/env python3
"""Run a pipeline once and print what it cost, as one line of JSON.

    bench/measure.py [--stdin FILE] [--stdout FILE] [--stderr FILE] [--timeout S]
                     -- command args... [--pipe command args...]

cpu_s    user + system seconds of all stages and of the children they waited for
wall_s   from the first start to the last end
rss_mib  sum over the stages of the peak resident set (of a stage's largest process), told by
         time(1): wait4(2) alone would count this script's own memory from before the exec
exit     the worst exit code

Needs Python 3.9 or newer and time(1) (apt-get install python3 time). On interrupt or
timeout all stages are killed and exit is 124.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stdin", default=os.devnull)
    parser.add_argument("--stdout", default=os.devnull)
    parser.add_argument("--stderr", default=os.devnull)
    parser.add_argument("--timeout", type=int, default=1800)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    stages = [[]]
    for word in words:
        if word == "--pipe":
            stages.append([])
        else:
            stages[-1].append(word)
    if not all(stages):
        parser.error("an empty command")
    return options, stages


def start(stages, options, notes):
    running, upstream = [], open(options.stdin, "rb")
    errors = open(options.stderr, "ab")
    for number, words in enumerate(stages):
        words = ["/usr/bin/time", "-q", "-f", "%M", "-o", f"{notes}/{number}", *words]
        final = number == len(stages) - 1
        stdout = open(options.stdout, "wb") if final else subprocess.PIPE
        child = subprocess.Popen(words, stdin=upstream, stdout=stdout, stderr=errors,
                                 start_new_session=True)
        upstream.close()
        upstream = child.stdout
        running.append(child)
    return running


def report(cpu, wall, rss, code):
    costs = {"cpu_s": round(cpu, 3), "wall_s": round(wall, 4), "rss_mib": round(rss / 1024, 1)}
    print(json.dumps({**costs, "exit": code}))


def main():
    options, stages = arguments()
    running, began = [], time.monotonic()

    def stop(*_):
        for child in running:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
        report(0.0, time.monotonic() - began, 0, 124)
        sys.exit(124)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, stop)
    signal.alarm(options.timeout)
    cpu, rss, worst = 0.0, 0, 0
    with tempfile.TemporaryDirectory(dir=os.environ.get("WORK"), prefix="notes.") as notes:
        running.extend(start(stages, options, notes))
        for number, child in enumerate(running):
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            cpu += usage.ru_utime + usage.ru_stime
            worst = max(worst, abs(child.returncode))
            with open(f"{notes}/{number}", encoding="ascii") as note:
                rss += int(note.read() or 0)
    report(cpu, time.monotonic() - began, rss, worst)


if __name__ == "__main__":
    main()
