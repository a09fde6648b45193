"""States of WebShop by hand."""

from __future__ import annotations

from keyed import key

SEARCH, RESULTS = (
    "Webshop \n[Search]",
    "[Back to Search] \nPage 1 (Total results: 50) \n[B09QQLDJ93]",
)
ITEM = "[Back to Search] \n[< Prev] \ncolor [red][blue] \nPrice: $9 \n[Description] \n[Buy Now]"


def test_webshop_knows_the_options_that_the_page_does_not_show():
    to_item = [(SEARCH, "search[shoe]"), (RESULTS, "click[B09QQLDJ93]")]
    red = [*to_item, (ITEM, "click[red]"), ("You have clicked red.", "click[Buy Now]")]
    blue = [*to_item, (ITEM, "click[blue]"), (ITEM, "click[Buy Now]")]
    assert key("webshop", red, blue) == [0, 1, 2, 3, 0, 1, 2, 4]
    assert key("webshop:options=false", red, blue) == [0, 1, 2, 2, 0, 1, 2, 2]
    assert key("exact", red, blue) == [0, 1, 2, 3, 0, 1, 2, 2]


def test_webshop_forgets_options_where_a_list_or_another_item_is_opened():
    trajectory = [
        (SEARCH, "search[shoe]"),
        (RESULTS, "click[b09qqldj93]"),
        (ITEM, "click[red]"),
        (ITEM, "click[back to search]"),
        (SEARCH, "search[shoe]"),
        (RESULTS, "click[b09qqldj93]"),
        (ITEM, "click[description]"),
        ("[Back to Search] \n[< Prev] \nA shoe.", "click[< prev]"),
        (ITEM, "click[b09qqldj94]"),
        (ITEM, "x"),
    ]
    # Back at the item without options; then the description; then another item of the same text.
    assert key("webshop", trajectory) == [0, 1, 2, 3, 0, 1, 2, 4, 2, 5]


def test_webshop_reads_pages_in_the_spelling_of_verl_agent():
    item = "'Back to Search' [SEP] '< Prev' [SEP] 'size' [SEP] 'small' [SEP] 'Buy Now'"
    results = "'Back to Search' [SEP] 'Page 1 (Total results: 50)' [SEP] 'B09QQLDJ93'"
    start = "WebShop [SEP] Instruction: [SEP] a shoe [SEP] Search"
    assert key("webshop", [(start, "click[red]"), (start, "x")]) == [0, 0]
    one = [("'Search'", "search[a]"), (results, "click[b09qqldj93]"), (item, "click[small]")]
    two = [*one, (item, "click[buy now]")]
    assert key("webshop", one, two) == [0, 1, 2, 0, 1, 2, 3]


def test_webshop_takes_what_is_seen_first_for_a_page_whatever_it_is():
    # An answer that is no page leaves the first one as it was, and so does the first again.
    asked = [("Welcome.", "click[red]"), ("You have clicked red.", "x")]
    again = [("Welcome.", "click[red]"), ("Welcome.", "x")]
    found = key("webshop", asked, again)
    assert found[:2] == found[2:]
    assert key("webshop", asked, [("Hello.", "click[red]"), ("Welcome.", "x")]) == [0, 1, 2, 3]
