"""Python values that TOML has no word for, as text: `{ python = "None" }` among an environment's arguments.

The text is a literal of Python (numbers, text, bytes, None, tuples, lists, sets, dictionaries) or a number or an array of
NumPy. Nothing else is evaluated.
"""

import ast

import numpy as np

NAMES = {"inf": float("inf"), "nan": float("nan")}
SCALARS = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
    "complex64", "complex128",
}


class NoLiteral(ValueError):
    """Text that is no such value; the message is a sentence."""


def literal(text):
    """The value that `text` says."""
    try:
        return value_of(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise NoLiteral(f'`{{ python = "{text[:80]}" }}` is no literal of Python, nor a number or array of NumPy: {error}') from None


def value_of(node):
    if isinstance(node, ast.Constant) and node.value is not Ellipsis:
        return node.value
    if isinstance(node, ast.Name) and node.id in NAMES:
        return NAMES[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = value_of(node.operand)
        return -value if isinstance(node.op, ast.USub) else +value
    if isinstance(node, ast.Tuple):
        return tuple(map(value_of, node.elts))
    if isinstance(node, ast.List):
        return list(map(value_of, node.elts))
    if isinstance(node, ast.Set):
        return set(map(value_of, node.elts))
    if isinstance(node, ast.Dict) and all(node.keys):
        return {value_of(key): value_of(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.Call) and not node.keywords:
        return called(ast.unparse(node.func), list(map(value_of, node.args)))
    raise ValueError(f"there is `{ast.unparse(node)[:40]}` in it")


def called(name, arguments):
    if name in ("set", "frozenset") and len(arguments) <= 1:
        return (set if name == "set" else frozenset)(*arguments)
    if name == "complex" and len(arguments) == 2:
        return complex(*arguments)
    module, _, kind = name.partition(".")
    if module == "numpy" and kind in SCALARS and len(arguments) == 1:
        return np.dtype(kind).type(arguments[0])
    if name == "numpy.array" and len(arguments) == 3 and arguments[1] in SCALARS:
        return np.array(arguments[0], dtype=arguments[1]).reshape(arguments[2])
    raise ValueError(f"there is a call of `{name}` in it")


def arguments(values):
    """Arguments as they were before they were written down."""
    if isinstance(values, dict):
        if values.keys() == {"python"} and isinstance(values["python"], str):
            return literal(values["python"])
        return {key: arguments(value) for key, value in values.items()}
    return [arguments(value) for value in values] if isinstance(values, list) else values
