"""The shipped prompts that may evolve. A place in braces is filled in and must be kept."""

from mechagym.records.testgen import Category

CATEGORY_PROMPTS: dict[Category, str] = {
    "anti_cheat": (
        "Anti-cheat tests show that the work was done as asked: what is forbidden is neither"
        " present in the solution nor started by it, results follow from the input and are not"
        " written in, inputs are unchanged. Each first requires that the solution is there, so"
        " that it fails before any work."
    ),
    "existence": (
        "Existence tests show that required files, names, formats, permissions and services are"
        " there and not empty."
    ),
    "correctness": (
        "Correctness tests show the right result on typical input and on the given input. Compute"
        " what is expected by independent code in the test wherever you can."
    ),
    "boundary": (
        "Boundary tests show the limits: empty, smallest, largest, malformed, just inside and just"
        " outside of a threshold."
    ),
    "integration": (
        "Integration tests show that the parts work together, end to end, from a fresh start."
    ),
}

ANTI_CHEAT_PROMPT = (
    "Write at least {count} anti-cheat tests. These tools are prohibited: {tools}. Name each of"
    " them in a test."
)

REFLECTION_PROMPT = (
    "You review the tests of the category {category}. Name gaps, weak tests and cells without a"
    " test. Say nothing of what is fine. An empty list of gaps means that nothing is missing."
)

ASSESS_PROMPT = (
    "Rate from 1 to 10 how completely these tests show that the instruction was carried out, and"
    " name each gap with the category in which a test would close it."
)
