"""`herald ROLE` as it is, but for a topic that its registry does not have.

`python -m tests.proof.end_to_end.without_topic TOPIC ROLE`
"""

import sys

from herald.outbox import registry
from herald.outbox.cli import main

if __name__ == "__main__":
    del registry.TOPICS[sys.argv.pop(1)]
    main(prog_name="herald")
