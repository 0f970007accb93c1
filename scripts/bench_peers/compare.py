"""Compares examples/bench with worker.py, case by case and round by round.

usage: compare.py --bench PROGRAM --python INTERPRETER [options]

Each case, of a shape and a pass, is run by all in turn, round after round, so that
what disturbs the machine disturbs all of them; the fastest run of each counts.
The last lines say whether this project's targets are met; the exit code is 1 if
one is missed or this project's program fails.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import threading

SHAPES = ["4,128,2,4,32,32", "1,1024,4,8,64,64", "1,512,8,32,128,128", "1,2048,8,32,128,128"]
PASSES = ["fwd", "fwdbwd"]
LONG = 2048  # from this length on the target is another one
WIDE = 8, 32  # and with these heads
EAGER, BEST = "eager PyTorch", "the best peer"  # whom a target is against


class Failed(Exception):
    pass


class Worker:
    """A process of worker.py that answers one question at a time."""

    def __init__(self, python, script, threads):
        self.process = subprocess.Popen(
            [python, script, str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.answers = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put("")

    def ask(self, question, limit):
        """Returns the milliseconds of the runs."""
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            line = self.answers.get(timeout=limit)
        except queue.Empty:
            self.stop()
            raise Failed(f"no answer in {limit:g} s") from None
        except OSError:
            line = ""
        if not line:
            raise Failed("the process ended, perhaps for lack of memory")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["ms"]

    def stop(self):
        self.process.kill()
        self.process.wait()


class Peer:
    """One way to run the peer, in a process that ends when all runs of a case are
    done, as compiled code takes a gigabyte of it."""

    def __init__(self, options, mode, threads):
        self.options, self.mode, self.threads = options, mode, threads
        self.name = f"{'torch.compile' if mode == 'compile' else 'eager'}, {threads} thread{'s' if threads > 1 else ''}"
        self.worker, self.gone = None, False

    def run(self, shape, which, runs):
        if self.gone:
            return []
        if not self.worker:
            self.worker = Worker(self.options.python, self.options.worker, self.threads)
        question = {"mode": self.mode, "shape": [int(n) for n in shape.split(",")], "pass": which, "runs": runs}
        try:
            return self.worker.ask(question, self.options.limit)
        except Failed as reason:
            say(f"{self.name}, {shape} {which}: {reason}")
            self.gone = True
            return []

    def stop(self):
        if self.worker:
            self.worker.stop()
        self.worker, self.gone = None, False


class Ours:
    """One implementation of this project."""

    def __init__(self, options, name, implementation):
        self.options, self.name, self.implementation = options, name, implementation

    def run(self, shape, which, runs):
        command = [self.options.bench, "-device", "cpu", "-json", "-impl", self.implementation, "-shape", shape, "-pass", which, "-runs", str(runs)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            say(f"bench failed: {done.stderr.strip()}")
            raise SystemExit(1)
        # The fastest of some runs stands for all of them.
        return [json.loads(done.stdout.splitlines()[-1])["ms_min"]] * runs

    def stop(self):
        pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def machine(options):
    """The first line of the program's table."""
    done = subprocess.run([options.bench, "-device", "cpu", "-shape", "1,1,1,1,1,1", "-runs", "1"], capture_output=True, text=True)
    return done.stdout.splitlines()[0] if done.stdout else "unknown machine"


def measure(options, ours, peers):
    """Returns the milliseconds of the fastest run by case and contestant."""
    contestants = ours + peers
    best = {}
    for shape in options.shapes:
        for which in options.passes:
            for _ in range(options.rounds):
                for c in contestants:
                    key = (shape, which, c.name)
                    # As many runs as take a second, at least one and at most ten.
                    runs = 1 if key not in best else max(1, min(10, int(1000 / best[key])))
                    times = c.run(shape, which, runs)
                    if times:
                        best[key] = min(times + [best.get(key, float("inf"))])
            for c in contestants:
                c.stop()
            say(f"{shape} {which} done")
    return best


def tokens(shape):
    b, t = shape.split(",")[:2]
    return int(b) * int(t)


def rate(shape, ms):
    return f"{1e3 * tokens(shape) / ms:,.0f}"


def table(options, best, ours, peers):
    """Tokens per second of all, side by side, and what this project's first has of the
    best peer's."""
    head = ["B,T,Hk,Hv,K,V", "pass"] + [c.name for c in ours + peers] + ["best peer", "ratio"]
    lines = [head]
    for shape in options.shapes:
        for which in options.passes:
            times = [best.get((shape, which, c.name)) for c in ours + peers]
            line = [shape, which] + [rate(shape, t) if t else "-" for t in times]
            rivals = [t for t in times[len(ours) :] if t]
            if rivals:
                line += [rate(shape, min(rivals)), f"{min(rivals) / times[0]:.2f}"]
            else:
                line += ["-", "-"]
            lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for number, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 2) if i < 2 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|")


def target(shape, which):
    """How many times as fast as which peers this project is to be."""
    _, length, hk, hv = (int(n) for n in shape.split(",")[:4])
    if which == "fwdbwd" and length >= LONG:
        return 5.0, BEST
    if (hk, hv) == WIDE:
        return 2.5, BEST
    return (1.0, EAGER) if which == "fwd" else (1.2, BEST)


def verdicts(options, best, ours, peers):
    """Prints a line for each target of this project's first, and returns whether all
    are met."""
    met = True
    for shape in options.shapes:
        for which in options.passes:
            least, against = target(shape, which)
            rivals = [c for c in peers if against != EAGER or c.mode == "eager"]
            times = [best[shape, which, c.name] for c in rivals if (shape, which, c.name) in best]
            if not times:
                print(f"{shape} {which}: not compared with {against}, of which nothing ran")
                met = False
                continue
            ratio = min(times) / best[shape, which, ours[0].name]
            good = ratio >= least
            met = met and good
            print(f"{shape} {which}: {ratio:.2f} times {against}, target {least:g}: {'met' if good else 'MISSED'}")
    return met


def main():
    parser = argparse.ArgumentParser(prog="bench_peers.sh", description="Compares the gated delta rule with its peers on the CPU.")
    parser.add_argument("--bench", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--python", default=sys.executable, help=argparse.SUPPRESS)
    parser.add_argument("--worker", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "worker.py"), help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each case (default 5)")
    parser.add_argument("--limit", type=float, default=900, help="seconds to wait for a peer, compiling included, before it is given up (default 900)")
    parser.add_argument("--shape", dest="shapes", action="append", metavar="B,T,Hk,Hv,K,V", help="shape to run, may be repeated (default four)")
    parser.add_argument("--pass", dest="passes", action="append", choices=PASSES, help="pass to run, may be repeated (default both)")
    parser.add_argument("--threads", type=int, action="append", help="threads of a peer, may be repeated (default 1 and 2)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, which takes minutes to compile")
    options = parser.parse_args()
    options.shapes, options.passes, options.threads = options.shapes or SHAPES, options.passes or PASSES, options.threads or [1, 2]
    if options.rounds < 1 or min(options.threads) < 1 or options.limit <= 0:
        parser.error("--rounds, --threads and --limit are numbers from 1")
    for shape in options.shapes:
        if len(shape.split(",")) != 6 or not all(n.isdigit() and int(n) > 0 for n in shape.split(",")):
            parser.error(f"--shape is {shape}, want B,T,Hk,Hv,K,V")

    modes = ["eager"] if options.no_compile else ["eager", "compile"]
    ours = [Ours(options, "deltatape", "auto"), Ours(options, "op graph", "chunk")]
    peers = [Peer(options, mode, n) for mode in modes for n in options.threads]
    try:
        best = measure(options, ours, peers)
    finally:
        for c in peers:
            c.stop()
    print(machine(options))
    print("Tokens per second by the fastest of all runs; peers: Hugging Face's torch_chunk_gated_delta_rule.\n")
    table(options, best, ours, peers)
    print()
    return 0 if verdicts(options, best, ours, peers) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
