"""Stock dspy, alone or in `dspex.distribute`: python driver.py SUBJECT PLACE ADDRESS...

The last line says what came of it, which has to be the same at "-", which is dspy alone, and at a node. PLACE: where
programs wait (held.py); empty: they do not.
"""

import contextlib
import functools
import io
import json
import logging
import random
import re
import sys

import dspex
import dspy
import held
import optimizable
from dspy.utils import DummyLM
from dspy.utils.parallelizer import ParallelExecutor

THREADS = 6


def bootstrap(program):
    optimizer = dspy.BootstrapFewShot(metric=optimizable.metric, max_bootstrapped_demos=8, max_labeled_demos=10)
    return optimizer.compile(program, trainset=optimizable.trainset(18))


def simba(program):
    optimizer = dspy.SIMBA(
        metric=optimizable.metric, bsize=6, num_candidates=3, max_steps=2, max_demos=2, num_threads=THREADS
    )
    return optimizer.compile(program, trainset=optimizable.trainset(12), seed=1)


def gepa(program):
    optimizer = dspy.GEPA(
        metric=optimizable.feedback,
        max_metric_calls=40,
        reflection_minibatch_size=3,
        reflection_lm=dspy.settings.lm,
        instruction_proposer=optimizable.Listener(),
        num_threads=THREADS,
    )
    examples = optimizable.trainset(12)
    return optimizer.compile(program, trainset=examples[:6], valset=examples[6:])


def compiled(waits, place, blocks):
    """The states of what the optimizers compile. The program of the one that is named waits in its first batch."""
    states = {}
    with dspy.context(lm=optimizable.make_lm(), num_threads=THREADS), blocks[0]:
        for optimize in (bootstrap, simba, gepa):
            random.seed(7)  # Some of dspy draws from the generator of all.
            program = held.Held(place if optimize.__name__ == waits else None)
            states[optimize.__name__] = optimize(program).dump_state()
    return states


def dummy(answers):
    return DummyLM([{"hint": f"hint {number}", "answer": str(number)} for number in range(answers)])


def served_at_once(place, blocks):
    """Which answers were given: each once, to whomever."""
    lm, program = dummy(100), held.Held(place)
    with dspy.context(lm=lm), blocks[0]:
        made = program.batch(optimizable.trainset(18), num_threads=THREADS, disable_progress_bar=True)
    given = sorted(entry["outputs"][0] for entry in lm.history)
    return {"given": given, "made": len({each.answer for each in made}), "second": len(program.second.history)}


def served_in_order(place, blocks):
    """One call after the other, through one node after the other: one LM that goes on counting."""
    lm, program, told = dummy(100), held.Held(place), []
    evaluate = dspy.Evaluate(devset=optimizable.trainset(4), metric=optimizable.metric, num_threads=1)
    with dspy.context(lm=lm):
        for block in blocks:
            with block:
                made = program.batch(optimizable.trainset(3), num_threads=1, disable_progress_bar=True)
                told.append([each.answer for each in made])
                told.append([prediction.answer for _, prediction, _ in evaluate(program).results])
    return {"told": told, "given": [entry["outputs"] for entry in lm.history]}


class Noted(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def failing(place, blocks):
    """Some examples raise: what is shown of the progress, told of the errors and left of the batch."""
    examples = optimizable.trainset(6)
    for index in (1, 4):
        examples[index] = dspy.Example(question=f"raise {index}", answer="x").with_inputs("question")
    program, shown, noted = held.Held(place), io.StringIO(), Noted()
    logging.getLogger("dspy.utils.parallelizer").addHandler(noted)
    with dspy.context(lm=optimizable.make_lm()), blocks[0]:
        evaluate = dspy.Evaluate(
            devset=examples, metric=optimizable.metric, num_threads=1, display_progress=True, failure_score=-1.0
        )
        with contextlib.redirect_stdout(shown):
            evaluated = evaluate(program)
        told = list(noted.lines)
        parallel = dspy.Parallel(num_threads=THREADS, return_failed_examples=True, disable_progress_bar=True)
        results, failed, exceptions = parallel([(program, example) for example in examples])
        ends = [ended(program, examples, max_errors) for max_errors in (1, 2, 3)]
    steps = re.findall(r"(Average Metric: [^:]+|Processed \d+ / \d+ examples):", shown.getvalue())
    return {
        # A step may be painted more than once.
        "steps": list(dict.fromkeys(steps)),
        "told": told,
        "score": evaluated.score,
        "results": repr(evaluated.results),
        "parallel": [repr(results), sorted(map(repr, failed)), sorted(map(repr, exceptions))],
        "ends": ends,
    }


def ended(program, examples, max_errors):
    """How a batch ends with so many errors allowed, and whether whoever has it is told to stop."""
    executor = ParallelExecutor(num_threads=1, max_errors=max_errors, disable_progress_bar=True)
    try:
        results = executor.execute(lambda example: program(**example.inputs()).answer, examples)
    except Exception as error:
        return [type(error).__name__, str(error), executor.cancel_jobs.is_set()]
    return [results, executor.failed_indices, executor.error_count]


SUBJECTS = {
    "held-in-bootstrap": functools.partial(compiled, "bootstrap"),
    "held-in-simba": functools.partial(compiled, "simba"),
    "served-at-once": served_at_once,
    "served-in-order": served_in_order,
    "failing": failing,
}


def main():
    subject, place, *addresses = sys.argv[1:]
    blocks = [
        contextlib.nullcontext() if address == "-" else dspex.distribute(address, workers=THREADS, local=False)
        for address in addresses
    ]
    result = SUBJECTS[subject](place, blocks)
    batches = [batch for block in blocks for batch in getattr(block, "batches", [])]
    remote = sum(batch.run_id is not None for batch in batches)
    print("\nresult", json.dumps({"result": result, "batches": len(batches), "remote": remote}))


if __name__ == "__main__":
    main()
