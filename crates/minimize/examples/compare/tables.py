"""The tables of docs/minimise.md from the lines of `compare calls` and `rivals.py`: python tables.py FILE …

First the median calls of the surrogate with a network, and with a kernel, over those of each estimator of a gradient. Where fewer than
half of the runs get there the calls of a run stand in for the median, which is larger: `< .4`. Then a table for each problem.

Calls: median over ten seeds, a run that does not get there counting as infinite; in brackets the quartiles, and how many of ten do. Seconds: processor
time of the method a call of f. Pays from: the cost of a call of f from which the kernel reaches the first value sooner, given both
medians and both methods' own seconds.
"""

import math
import statistics
import sys


GRADIENTS = ["leave-one-out", "leave-one-out-of-4", "disarm", "reinforce", "relax"]


def calls_to(lines, i):
    """Median calls to value `i`, and how many runs get there."""
    calls = [math.inf if line[1][i] == "-" else int(line[1][i]) for line in lines]
    return statistics.median(calls), sum(c < math.inf for c in calls)


def spread(lines, i):
    """Median, the quarter of runs below and above it, and how many get there."""
    calls = sorted(math.inf if line[1][i] == "-" else int(line[1][i]) for line in lines)
    low, median, high = (f"{q:.0f}" if q < math.inf else "—" for q in quartiles(calls))
    return f"{median} ({low}–{high}; {sum(c < math.inf for c in calls)})" if low != "—" else f"— ({sum(c < math.inf for c in calls)})"


def quartiles(calls):
    half = len(calls) // 2
    return statistics.median(calls[:half]), statistics.median(calls), statistics.median(calls[-half:])


def ratios(runs, surrogate):
    print(f"\n| {surrogate}: problem, value | {' | '.join(GRADIENTS)} |\n| --- " + "| --- " * len(GRADIENTS) + "|")
    for problem, methods in runs.items():
        named = {method: lines for (method, _), lines in methods.items()}
        if surrogate not in named:
            continue
        most = int(named[surrogate][0][2][-1].split(":")[0])
        for i, value in enumerate(["first", "second"]):
            ours, reach = calls_to(named[surrogate], i)
            cells = []
            for method in GRADIENTS:
                if method not in named:
                    cells.append("")
                    continue
                theirs, count = calls_to(named[method], i)
                if ours == theirs == math.inf:
                    ratio = "both more"
                elif theirs == math.inf:
                    ratio = f"< {ours / most:.2f}"
                else:
                    ratio = f"{ours / theirs:.2f}" if ours < math.inf else f"> {most / theirs:.2f}"
                cells.append(f"{ratio} ({count})")
            print(f"| {problem}, {value} ({reach}) | {' | '.join(cells)} |")


def main():
    runs = {}
    for path in sys.argv[1:]:
        for line in open(path):
            problem, method, tuned, seed, seconds, reached, firsts = line.strip().split(",")
            runs.setdefault(problem, {}).setdefault((method, tuned), []).append((float(seconds), reached.split("/"), firsts.split()))
    for surrogate in ["surrogate", "surrogate-kernel"]:
        ratios(runs, surrogate)
    for problem, methods in runs.items():
        print(f"\n**{problem}**\n\n| method (tuned) | first value | second value | best at the end | ms a call | kernel pays from |\n| --- " + "| --- " * 5 + "|")
        cost = {}
        for (method, _), lines in methods.items():
            cost[method] = calls_to(lines, 0)[0], statistics.mean(line[0] for line in lines) / int(lines[0][2][-1].split(":")[0])
        for (method, tuned), lines in methods.items():
            cells = [spread(lines, i) for i in range(2)]
            ends = [float(line[2][-1].split(":")[1]) for line in lines]
            (ours, own), (theirs, other) = cost.get("surrogate-kernel", (math.inf, 0.0)), cost[method]
            if method == "surrogate-kernel":
                pays = ""
            elif ours == math.inf:
                pays = "?"
            elif theirs == math.inf:
                pays = "any (it does not get there)"
            elif theirs <= ours:
                pays = "never"
            else:
                pays = f"{max(0.0, 1e3 * (ours * own - theirs * other) / (theirs - ours)):.2g} ms"
            tuned = tuned if tuned.isalpha() else f"{float(tuned):.2g}"
            name = method if tuned == "0" else f"{method} ({tuned})"
            print(f"| {name} | {' | '.join(cells)} | {statistics.mean(ends):.4g} ± {statistics.stdev(ends):.2g} | {1e3 * cost[method][1]:.3f} | {pays} |")


if __name__ == "__main__":
    main()
