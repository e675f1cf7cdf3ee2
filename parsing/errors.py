"""The one error that a user is meant to read."""


class InputError(ValueError):
    """Something that came from outside is not what was expected.

    The message is one line that names the file or key, the value found and what was expected;
    command lines print it without a traceback.
    """
