"""Class labels by name or number."""

from ..names import did_you_mean


def class_number(text, classes, names=None):
    """The label that --class selects: by class name, else by number.

    classes   number of classes, None if unknown
    names     class names in the order of the labels, as stored in the run, or None
    """
    names = known_names(classes, names)
    alike = [name for name in names if name.casefold() == text.casefold()]
    if text in names or len(alike) == 1:
        return names.index(text if text in names else alike[0])
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is not None and (classes is None or 0 <= number < classes):
        return number
    if classes is None:
        raise ValueError(f"--class: got {text!r}, expected the number of a class: the class names of this model are unknown")
    expected = f"a class from 0 to {classes - 1}"
    if names and names != [str(k) for k in range(classes)]:
        hint = did_you_mean(text, names, 1)
        expected += f" or one of {', '.join(names[:20])}{', ...' if len(names) > 20 else ''}{hint}"
    raise ValueError(f"--class: got {text}, expected {expected}")


def known_names(classes, names):
    """The names of the first `classes` classes, as a list; empty where there are none or fewer."""
    fits = isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names) and len(names) >= (classes or 0)
    return list(names)[:classes] if classes and fits else []


def class_title(number, names):
    """How a class is printed: "7", or "2 (number 4)" where its name is not its number."""
    name = names[number] if names else str(number)
    return name if name == str(number) else f"{name} (number {number})"


def classes_line(classes, names):
    """The classes as `info` prints them: "none", "10", or "3: 0 ape, 1 newt, 2 zebra"."""
    names = known_names(classes, names)
    if not names or names == [str(k) for k in range(len(names))]:
        return str(classes or "none")
    return f"{classes}: {', '.join(f'{k} {name}' for k, name in enumerate(names))}"
