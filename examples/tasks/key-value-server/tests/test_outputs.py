"""The server is up and keeps its promises, also to many clients at once."""

import http.client
import json
import random
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

PLACE = ("127.0.0.1", 8765)


def ask(method, path, body=None):
    """One request on a connection of its own: status and body."""
    connection = http.client.HTTPConnection(*PLACE, timeout=15)
    try:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def at(name):
    return "/keys/" + quote(name, safe="")


def test_it_is_up():
    deadline = time.monotonic() + 3
    while True:
        try:
            socket.create_connection(PLACE, timeout=2).close()
        except OSError:
            assert time.monotonic() < deadline, "nothing answers on 127.0.0.1:8765"
            time.sleep(0.2)
        else:
            return


def test_put_get_replace_delete():
    assert ask("GET", at("t1"))[0] == 404
    assert ask("PUT", at("t1"), b"one")[0] == 201
    assert ask("GET", at("t1")) == (200, b"one")
    assert ask("PUT", at("t1"), b"two")[0] == 204
    assert ask("GET", at("t1")) == (200, b"two")
    assert ask("DELETE", at("t1"))[0] == 204
    assert ask("DELETE", at("t1"))[0] == 404
    assert ask("GET", at("t1"))[0] == 404


def test_bytes_come_back_as_they_went_in():
    big = random.Random(3).randbytes(8 * 1024 * 1024)
    for value in (b"", b"\0\r\n\r\n\xff", bytes(range(256)) * 5, big):
        assert ask("PUT", at("t2"), value)[0] in {201, 204}
        assert ask("GET", at("t2")) == (200, value)
    ask("DELETE", at("t2"))


def test_names_are_decoded_text():
    names = ["t3 space", "t3ä", "t3?q=1", "t3#x", "t3%2F", "t3+plus", "t3𝄞", "t3z"]
    for name in names:
        assert ask("PUT", at(name), name.encode())[0] == 201, name
    assert ask("GET", "/keys/t3%C3%A4") == (200, "t3ä".encode())
    assert ask("GET", "/keys/t3%7a") == (200, b"t3z")
    status, body = ask("GET", "/keys")
    listed = json.loads(body)
    assert status == 200
    assert listed == sorted(listed)
    assert [name for name in listed if name.startswith("t3")] == sorted(names)
    for name in names:
        assert ask("DELETE", at(name))[0] == 204, name


def test_everything_else_is_404():
    assert ask("GET", "/")[0] == 404
    assert ask("GET", "/keyss")[0] == 404
    assert ask("GET", "/keys/a/b")[0] == 404
    assert ask("POST", "/keys/a/decrement")[0] == 404


def test_increment():
    assert ask("POST", at("t4") + "/increment") == (200, b"1")
    assert ask("GET", at("t4")) == (200, b"1")
    ask("PUT", at("t4"), b"41")
    assert ask("POST", at("t4") + "/increment") == (200, b"42")
    ask("PUT", at("t4"), b"many")
    assert ask("POST", at("t4") + "/increment")[0] == 409
    assert ask("GET", at("t4")) == (200, b"many")
    ask("DELETE", at("t4"))


def test_no_increment_is_lost():
    ask("DELETE", at("t5"))
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask("POST", at("t5") + "/increment"), range(400)))
    assert sorted(int(body) for status, body in answers if status == 200) == list(range(1, 401))
    assert ask("GET", at("t5")) == (200, b"400")
    ask("DELETE", at("t5"))


def test_silent_clients_block_nobody():
    silent = [socket.create_connection(PLACE, timeout=15) for _ in range(20)]
    try:
        silent[0].sendall(b"PUT /keys/t6 HTTP/1.1\r\nContent-Le")
        began = time.monotonic()
        assert ask("PUT", at("t6"), b"x")[0] == 201
        assert ask("DELETE", at("t6"))[0] == 204
        assert time.monotonic() - began < 10
    finally:
        for connection in silent:
            connection.close()
