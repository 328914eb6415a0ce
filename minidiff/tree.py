"""Nested arrays, as conditions and answers of models come: tuples, NamedTuples, lists and dicts of them."""


def tree_map(f, tree, *others, leaf=()):
    """f of every array of `tree`, in the same arrangement: containers keep their type, None stays None.

    others   trees of the same arrangement, for a function of several arrays: f(a, b, ...)
    leaf     types of containers that f takes whole; list, say, where f is np.asarray
    """
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {name: tree_map(f, tree[name], *(other[name] for other in others), leaf=leaf) for name in tree}
    if isinstance(tree, (tuple, list)) and not isinstance(tree, leaf):
        parts = [tree_map(f, *group, leaf=leaf) for group in zip(tree, *others, strict=True)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)  # a NamedTuple takes them one by one
    return f(tree, *others)
