"""What is called in sessions: nothing that takes time of its own."""

import dspex


def nothing():
    return 1


def count():
    data = dspex.current_session().data
    data["n"] = data.get("n", 0) + 1
    return data["n"]
