"""The tables of docs/minimise.md from the lines of `compare calls` and `rivals.py`: python tables.py FILE …

Calls: median over ten seeds, a run that does not get there counting as infinite; in brackets how many of ten do. Seconds: processor
time of the method a call of f. Pays from: the cost of a call of f from which the surrogate reaches the first value sooner, given both
medians and both methods' own seconds.
"""

import math
import statistics
import sys


def main():
    runs = {}
    for path in sys.argv[1:]:
        for line in open(path):
            problem, method, tuned, seed, seconds, reached, firsts = line.strip().split(",")
            runs.setdefault(problem, {}).setdefault((method, tuned), []).append((float(seconds), reached.split("/"), firsts.split()))
    for problem, methods in runs.items():
        print(f"\n**{problem}**\n\n| method (tuned) | first value | second value | best at the end | ms a call | surrogate pays from |\n| --- " + "| --- " * 5 + "|")
        cost = {}
        for (method, _), lines in methods.items():
            calls = [math.inf if line[1][0] == "-" else int(line[1][0]) for line in lines]
            cost[method] = statistics.median(calls), statistics.mean(line[0] for line in lines) / int(lines[0][2][-1].split(":")[0])
        for (method, tuned), lines in methods.items():
            cells = []
            for i in range(2):
                calls = [math.inf if line[1][i] == "-" else int(line[1][i]) for line in lines]
                median, reach = statistics.median(calls), sum(c < math.inf for c in calls)
                cells.append(f"{median:.0f} ({reach})" if median < math.inf else f"— ({reach})")
            ends = [float(line[2][-1].split(":")[1]) for line in lines]
            (ours, own), (theirs, other) = cost.get("surrogate", (math.inf, 0.0)), cost[method]
            if method == "surrogate":
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
