"""What an instruction forbids, sentence by sentence, and whether it is in the box."""

import pytest

from mechagym.records.testgen import ProhibitedTool
from mechagym.testgen.prohibited import SCRATCH_NAME, look_for, prohibited_in
from mechagym.testgen.proposals import occurs
from tests.actors import open_box

SENTENCES = [
    ("Convert the R script to Python.", {"R", "Rscript", "rstan"}),
    ("Convert model.R to Python", {"R", "Rscript", "rstan"}),
    ("Port `solver.pl` into Go.", {"perl"}),
    ("Translate this Java program to Rust.", {"java", "javac"}),
    ("Please migrate the code from Perl to Python 3.", {"perl"}),
    ("Rewrite the tool written in COBOL in Java.", {"cobc"}),
    ("Port main.c to Rust, with the same output.", {"gcc", "cc"}),
    ("Convert the MATLAB files to Julia.", {"matlab", "octave"}),
    ("Rewrite app.js in TypeScript.", set()),  # both run on node
    ("Translate the Fortran routine into C++.", {"gfortran"}),
    ("Write a regex engine from scratch.", {SCRATCH_NAME}),
    ("Write your own JSON parser.", {SCRATCH_NAME}),
    ("Sort the file without using sort.", {"sort"}),
    ("Do it without using `numpy` or `pandas`.", {"numpy", "pandas"}),
    ("Do not use curl.", {"curl"}),
    ("You must not use the subprocess module.", {"subprocess"}),
    ("You cannot use sed or awk.", {"sed", "awk"}),
    ("Never call `gcc`.", {"gcc"}),
    ("You may not import requests here.", {"requests"}),
    ("The solution must not rely on openssl.", {"openssl"}),
    ("`ffmpeg` is not allowed.", {"ffmpeg"}),
    ("`wget` and `curl` are forbidden.", {"wget", "curl"}),
    ("Don't use the `re` module.", {"re"}),
    ("Implement it without relying on scipy.", {"scipy"}),
    ("Compute it directly instead of calling bc.", {"bc"}),
    ("Avoid using pip.", {"pip"}),
    ("You are not allowed to use git.", {"git"}),
    ("Use sort to order the lines.", set()),
    ("The file must not be empty.", set()),
    ("Convert the prices to euros.", set()),
    ("Without an argument it prints help; do not change the input.", set()),
    ("Use the standard library only.", set()),
]


@pytest.mark.must("testgen-5")
@pytest.mark.parametrize(("sentence", "tools"), SENTENCES)
def test_each_sentence_forbids_what_it_says(sentence: str, tools: set[str]):
    instruction = f"There is some work to do.\n\n{sentence} That is all."
    found = prohibited_in(instruction)
    assert {tool.name for tool in found} == tools
    assert all(occurs(tool.quote, instruction) for tool in found)


async def test_whether_a_tool_is_there_is_asked_of_the_box():
    tools = [
        ProhibitedTool(name=name, reason="", quote="") for name in ("grep", "Rscript", "a b; ls")
    ]
    async with open_box("memory") as box:
        found = await look_for(box, tools)
    assert [tool.found for tool in found] == [True, False, False]
