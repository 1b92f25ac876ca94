"""`make bench`: what a voice turn costs, through Glottis, through others, and through next to nothing.

make bench                              # everything that is installed, about half an hour
make bench ARGS=--quick                 # a minute or two, into bench/.quick
make bench ARGS="--only Glottis,bare"   # names, or how they begin
make bench-peers                        # installs the gateways to compare with
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from bench import charts, report
from bench.gateways import BARE, GATEWAYS, GLOTTIS, Gateway
from bench.run import Outcome, Run
from bench.trials import QUICK, Effort

HERE = Path(__file__).parent


def main() -> None:
    arguments = _arguments()
    quick: bool = arguments.quick
    folder = HERE / ".quick" if quick else HERE
    if arguments.report:
        outcome = Outcome(**json.loads((folder / "results.json").read_text()))
    else:
        run = Run(_chosen(arguments.only), QUICK if quick else Effort(rounds=arguments.rounds))
        outcome = run.measure([] if quick else [GLOTTIS, BARE], 2)
    _write(outcome, folder)
    print("\n" + report.console(outcome))
    print(f"Written to {folder.relative_to(HERE.parent)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one short round without growth")
    parser.add_argument("--only", help="names of gateways, or how they begin, between commas")
    parser.add_argument("--rounds", type=int, default=Effort.rounds, help="how often each gateway is measured")
    parser.add_argument("--report", action="store_true", help="write the page and the charts anew from results.json")
    return parser.parse_args()


def _chosen(only: str | None) -> list[Gateway]:
    if not only:
        return list(GATEWAYS)
    wanted = tuple(name.strip().lower() for name in only.split(","))
    return [
        gateway for gateway in GATEWAYS if gateway.name.lower().removeprefix("the ").startswith(wanted)
    ] or sys.exit(f"bench: there are {', '.join(gateway.name for gateway in GATEWAYS)}")


def _write(outcome: Outcome, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(dataclasses.asdict(outcome), indent=1) + "\n")
    (folder / "results.md").write_text(report.markdown(outcome))
    (folder / "results.svg").write_text(charts.bars(outcome))
    if outcome.growth:
        (folder / "growth.svg").write_text(charts.lines(outcome))


if __name__ == "__main__":
    main()
