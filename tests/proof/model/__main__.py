"""`python -m tests.proof.model --seed 4711`: one run again, told step by step."""

import argparse
import sys

from tests.proof.model.run import run
from tests.proof.model.world import MECHANISMS

parser = argparse.ArgumentParser(prog="python -m tests.proof.model", description=__doc__)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--without", choices=MECHANISMS, help="take a mechanism out")
arguments = parser.parse_args()
violation, world = run(arguments.seed, without=arguments.without, is_told=True)
for line in world.trace or ():
    print(line)  # noqa: T201 - what the command is for
print(f"\nseed {arguments.seed}: {violation or 'nothing was violated'}")  # noqa: T201
sys.exit(violation is not None)
