"""What may be asked to be installed: tables of texts, and what becomes of them."""

from pathlib import Path

import pytest

from ellipsis_local.environments.requirements import check_requirements, local_path, misnamed, normalise
from ellipsis_local.errors import ArgumentError

ACCEPTED = [
    # as people write them
    ("numpy", "numpy"),
    ("NumPy", "numpy"),
    ("  numpy ", "numpy"),
    ("zope.interface", "zope-interface"),
    ("multiprocessing_logging", "multiprocessing-logging"),
    ("a.zip-thing", "a-zip-thing"),
    # versions
    ("numpy>=1.26", "numpy>=1.26"),
    ("NumPy >= 1.2 , <3", "numpy<3,>=1.2"),
    ("numpy (>=1.2)", "numpy>=1.2"),
    ("x===1!foo", "x===1!foo"),
    ("numpy!=2.0.*", "numpy!=2.0.*"),
    # extras and markers
    ("a[x,Y_z]~=1.0", "a[x,y-z]~=1.0"),
    ("a; python_version<'3.12'", 'a ; python_version < "3.12"'),
    ("a ; sys_platform=='linux' and python_version<'3.12'", 'a ; sys_platform == "linux" and python_version < "3.12"'),
    # addresses
    ("p @ https://h.org/p-1.0.zip#sha256=ab", "p @ https://h.org/p-1.0.zip#sha256=ab"),
    ("P@https://h.org/p.whl?a=1&b=2", "p @ https://h.org/p.whl?a=1&b=2"),
    ("p@git+https://h/x@v1#subdirectory=a", "p @ git+https://h/x@v1#subdirectory=a"),
    ("p @ file:///x/y/p-1-py3-none-any.whl", "p @ file:///x/y/p-1-py3-none-any.whl"),
]


@pytest.mark.parametrize(("text", "canonical"), ACCEPTED)
def test_accepted(text, canonical):
    assert check_requirements([text]) == (text.strip(),)
    assert normalise([text]) == (canonical,)


REFUSED = [
    # options
    ("-r other.txt", "is an option"),
    ("--index-url=https://h", "is an option"),
    ("-e .", "is an option"),
    ("numpy==1.2 --hash=sha256:ab", "is not a requirement"),
    # nothing, too much
    ("", "is empty"),
    ("  ", "is empty"),
    ("numpy scipy", "is not a requirement"),
    ("numpy\nscipy", "more than one line"),
    ("numpy\r-r x", "more than one line"),
    ("numpy\x00", "more than one line"),
    ("numpy=1.2", "is not a requirement"),
    ("numpy==", "is not a requirement"),
    # shell text
    ("numpy; rm -rf /", "is not a requirement"),
    ("numpy && ls", "is not a requirement"),
    ("numpy|sh", "characters"),
    ("`id`", "characters"),
    ("$(id)", "characters"),
    ("p @ https://h/${TOKEN}", "characters"),
    # comments
    ("#c", "comment"),
    ("numpy # fast", "comment"),
    # paths
    (".", "is a path"),
    ("..", "is a path"),
    ("./x", "is a path"),
    ("../x", "is a path"),
    ("/x/y", "is a path"),
    ("~/x", "is a path"),
    ("C:\\x", "is a path"),
    ("dist/x-1.0.whl", "is a path"),
    ("x-1.0.tar.gz", "is a path"),
    ("requirements.txt", "is a path"),
    # addresses
    ("https://h/x.whl", "without a name"),
    ("git+https://h/x", "without a name"),
    ("p @ ../x", "unknown kind"),
    ("p @ ftp://h/x", "unknown kind"),
    ("p @ file:x", "absolute path"),
    ("p @ file://host/x", "absolute path"),
    ("p @ https:///x", "without a host"),
    ("p @ https://[x", "cannot be read"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_refused(text, reason):
    with pytest.raises(ArgumentError, match=reason) as caught:
        check_requirements(["numpy", text])
    assert caught.value.argument == "requirements"
    assert caught.value.value == text
    assert str(caught.value).startswith(f"requirements: {text!r} ")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "requirements must be an iterable"),
        (float, "requirements must be an iterable"),
        ([1], "requirements must be a list of strings"),
        (["numpy", None], "requirements must be a list of strings"),
        (b"numpy", "requirements must be a list of strings"),
        ("numpy scipy", r"requirements=\['numpy', 'scipy'\]"),
    ],
)
def test_no_list_of_strings(value, message):
    with pytest.raises(ArgumentError, match=message):
        check_requirements(value)


def test_shape_of_the_answer():
    assert check_requirements(None) == check_requirements([]) == ()
    assert check_requirements(name for name in ("b", "a")) == ("b", "a"), "order is kept"
    assert check_requirements(["Numpy>1", "b", "numpy >1"]) == ("Numpy>1", "b"), "repetitions are merged"
    assert check_requirements(["numpy>1", "numpy<3"]) == ("numpy>1", "numpy<3"), "different demands are not"


def test_normal_form_does_not_depend_on_writing():
    assert normalise(["B[y,x] >1,<2", "a"]) == normalise(["A", "b[X,Y]<2,>1", "a"])
    assert normalise(["a>1"]) != normalise(["a>=1"])


def test_local_path():
    assert local_path("A_b @ file:///x/y%20z") == ("a-b", Path("/x/y z"))
    assert local_path("a @ git+file:///x") == ("a", Path("/x"))
    assert local_path("a @ https://h/x") is None
    assert local_path("a>1") is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [("skimage", "scikit-image"), ("sklearn>=1", "scikit-learn"), ("cv2", "opencv-python"), ("PIL", "pillow"),
     ("osgeo", "gdal"), ("yaml", "pyyaml"), ("io", "standard library"), ("tomllib", "standard library")],
)  # fmt: skip
def test_a_module_in_the_place_of_a_distribution_is_told(name, meant):
    [text] = misnamed(["numpy", name], (3, 12, 1))
    assert meant in text and repr(name.partition(">")[0]) in text


def test_names_of_distributions_are_not_told():
    names = ["scikit-image", "Pillow", "PyYAML", "torch", "tensorflow", "opencv-python-headless", "attrs", "GDAL"]
    assert misnamed([*names, "netCDF4", "matplotlib", "protobuf", "tomli", "no-such"], (3, 12)) == []
