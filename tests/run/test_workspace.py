"""Two lists of files, compared: what a box says of itself is read without trust."""

from mechagym.run.workspace import Changes, compare, parse

BEFORE = "81a4 1 100 100 ./a b.txt\n81a4 1 100 100 ./gone\n81a4 1 100 100 ./same\n"
AFTER = "81a4 2 100 101 ./a b.txt\n81a4 1 100 100 ./same\n81a4 1 100 100 ./deep/new\n"


def test_what_came_what_changed_what_went():
    changes = compare(parse(BEFORE), parse(AFTER))
    assert changes == Changes(added=("deep/new",), changed=("a b.txt",), removed=("gone",))
    assert changes.present == ("a b.txt", "deep/new")


def test_what_is_no_line_is_passed_over():
    assert parse("81a4 1 1\n[4 bytes left out]\n\n81a4 1 2 3 /etc/passwd\n") == {}


def test_no_path_leads_out_of_the_working_directory():
    assert parse("81a4 1 2 3 ./../../usr/bin/rm\n81a4 1 2 3 ./a/../../b\n") == {}
    assert parse("81a4 1 2 3 ./a..b/..c\n") == {"a..b/..c": "81a4 1 2 3"}
