//! Signatures as people write them, and as they should not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(text: &str) -> Signature {
    Signature::of_text(text, TypeNames::Known).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    Signature::of_text(text, TypeNames::Known).expect_err(text).to_string()
}

#[test]
fn names_and_types_are_read_as_dspy_reads_them() {
    let signature = read("question, context: list[str] -> answer: float");
    let field = |name: &str, annotation: Option<&str>| SignatureField {
        name: name.to_owned(),
        annotation: annotation.map(str::to_owned),
    };
    assert_eq!(signature.inputs, [field("question", None), field("context", Some("list[str]"))]);
    assert_eq!(signature.outputs, [field("answer", Some("float"))]);
    assert_eq!(signature.inputs[0].type_name(), "str");
    assert_eq!(signature.text(), "question, context: list[str] -> answer: float");
    for text in [
        "a,->b",
        " a \n-> b ",
        "größe -> b",
        "a: dict[str, list[int]] -> b",
        "a: Literal['x, y', 1, True, None] -> b",
        "a: tuple[int, ...], b: Optional[str] -> c: int | None",
        "a: typing.List[str], b: Union[int, str] -> c: dspy.Image",
        "a: Any -> b: list",
    ] {
        read(text);
    }
}

#[test]
fn what_is_no_signature_is_refused_with_the_field() {
    for (text, says) in [
        ("question", "this one has 0"),
        ("a -> b -> c", "this one has 2"),
        (" -> b", "at least one input"),
        ("a -> ", "at least one output"),
        ("a, a -> b", "\"a\": it stands among the inputs twice"),
        ("a -> b, b", "\"b\": it stands among the outputs twice"),
        ("a -> a", "\"a\": it is an input and an output"),
        ("a,, b -> c", "no name before its type"),
        (": int -> c", "no name before its type"),
        ("a: -> c", "\"a\": no type stands behind its colon"),
        ("a b -> c", "\"a b\": it is no Python name"),
        ("1a -> c", "\"1a\": it is no Python name"),
        ("*a -> c", "\"*a\": it is no Python name"),
        ("a=1 -> c", "\"a=1\": it is no Python name"),
        ("class -> c", "\"class\": it is a word of Python's own"),
        ("_a -> c", "\"_a\": a field's name does not begin with _"),
        ("ﬁ -> c", "Python reads it as \"fi\""),
        ("instructions -> c", "\"instructions\": DSPy's signatures have something else"),
        ("a: strr -> c", "\"a\": \"strr\" is no type that is known here"),
        ("a: list[strr] -> c", "\"strr\" is no type"),
        ("a: list[str -> c", "not closed"),
        ("a: list[] -> c", "nothing in its brackets"),
        ("a: list[str] x -> c", "\"x\" is left over"),
        ("a: list[str]] -> c", "\"]\" is left over"),
        ("a: dict[str] -> c", "dict takes two types"),
        ("a: str[int] -> c", "str takes nothing in brackets"),
        ("a: Optional[int, str] -> c", "Optional takes one type"),
        ("a: Optional -> c", "Optional takes one type"),
        ("a: Union -> c", "Union takes types"),
        ("a: Literal -> c", "Literal takes values"),
        ("a: Literal[x] -> c", "\"x\" is no literal"),
        ("a: Literal['x] -> c", "no closing quote"),
        ("a: int | -> c", "a type is missing at the end"),
        ("a: | int -> c", "is no type"),
        ("a: .b -> c", "is no type"),
        ("a: 'str' -> c", "is no type"),
    ] {
        let message = refused(text);
        assert!(message.contains(says), "{text}: {message}");
    }
}

#[test]
fn a_signature_has_its_limits() {
    let side = |count: usize| (0..count).map(|number| format!("f{number}")).collect::<Vec<_>>().join(", ");
    read(&format!("{} -> answer", side(SIGNATURE_FIELDS_MAX)));
    assert!(refused(&format!("{} -> answer", side(SIGNATURE_FIELDS_MAX + 1))).contains("65 inputs, the limit is 64"));
    assert!(refused(&format!("{} -> answer", "x".repeat(SIGNATURE_BYTES_MAX))).contains("the limit is 8192"));
    let nested = |depth: usize| format!("a: {}int{} -> b", "list[".repeat(depth), "]".repeat(depth));
    read(&nested(16));
    assert!(refused(&nested(17)).contains("nested deeper than 16"));
    assert!(refused(&nested(1000)).contains("nested deeper than 16"));
}

#[test]
fn the_structured_form_says_the_same() {
    let of = |value: Value| Signature::of_value(&value, TypeNames::Known);
    let written = of(
        json!({"inputs": [{"name": "q"}, {"name": "n", "type": "int"}], "outputs": [{"name": "a", "description": "x"}]}),
    );
    assert_eq!(written.expect("a signature").text(), "q: str, n: int -> a: str");
    assert_eq!(of(json!("q -> a")).expect("a signature").text(), "q -> a");
    for (value, says) in [
        (json!(1), "a signature is"),
        (json!({"inputs": [{"name": "q"}]}), "at least one output"),
        (json!({"inputs": [{"name": "q"}], "outputs": [{"name": "a"}], "x": 1}), "no \"x\""),
        (json!({"inputs": {"q": "str"}, "outputs": []}), "\"inputs\" is a list"),
        (json!({"inputs": ["q"], "outputs": [{"name": "a"}]}), "field 1 of \"inputs\" has no name"),
        (json!({"inputs": [{"name": "q", "kind": "x"}], "outputs": [{"name": "a"}]}), "\"q\": it has no \"kind\""),
        (json!({"inputs": [{"name": "q", "type": 1}], "outputs": [{"name": "a"}]}), "\"q\": its type is a text"),
        (json!({"inputs": [{"name": "q", "type": "lst"}], "outputs": [{"name": "a"}]}), "\"q\": \"lst\" is no type"),
        (json!({"inputs": [{"name": "q", "type": ""}], "outputs": [{"name": "a"}]}), "\"q\": a type is missing"),
    ] {
        let message = of(value.clone()).expect_err("no signature").to_string();
        assert!(message.contains(says), "{value}: {message}");
    }
}

#[test]
fn classes_of_a_programs_own_code_are_known_to_it_alone() {
    let text = "page: Page -> answers: list[Answer]";
    assert!(Signature::of_text(text, TypeNames::Any).is_ok());
    assert!(refused(text).contains("\"Page\" is no type"));
}

#[test]
fn inputs_are_held_against_their_types() {
    let signature = read(
        "q, t: str, n: int, x: float, b: bool, l: list[str], d: dict[str, int], o: int | None, m: Literal['a', 1], i: dspy.Image -> a",
    );
    let good = || {
        json!({
            "q": [1], "t": "x", "n": 2, "x": 2, "b": true, "l": ["a"], "d": {"k": 1}, "o": null, "m": "a", "i": {"url": "u"},
        })
    };
    let check = |value: &Value| check_inputs(&signature, &value.to_string()).map_err(|error| error.to_string());
    assert_eq!(check(&good()), Ok(()));
    for (name, value, says) in [
        ("t", json!(5), "t is a text, not a number"),
        ("n", json!(2.5), "n is a whole number, not a number"),
        ("n", json!(true), "n is a whole number, not a truth value"),
        ("x", json!("2"), "x is a number, not a text"),
        ("b", json!(1), "b is true or false, not a number"),
        ("l", json!("a"), "l is a list, not a text"),
        ("l", json!(["a", 1]), "l[1] is a text, not a number"),
        ("d", json!([]), "d is an object, not a list"),
        ("d", json!({"k": "v"}), "d[\"k\"] is a whole number, not a text"),
        ("o", json!("1"), "o is a whole number, not a text"),
        ("m", json!("b"), "m is one of \"a\", 1, not \"b\""),
    ] {
        let mut inputs = good();
        inputs[name] = value;
        let message = check(&inputs).expect_err(name);
        assert!(message.contains(says), "{message}");
    }
    let mut large = good();
    large["n"] = json!(1e30);
    assert_eq!(check(&large), Ok(()), "a number that no integer of 64 bits holds");
}

#[test]
fn all_that_is_wrong_with_inputs_is_said_at_once() {
    let signature = read("question, k: int -> answer");
    let error = check_inputs(&signature, r#"{"query": "x", "k": "3"}"#).expect_err("wrong").to_string();
    let expected = "without question; with unknown query; with a value of another type: k is a whole number, not a text; the program takes question: str, k: int";
    assert_eq!(error, expected);
    // It goes on from "the program is called".
    let refused = |inputs: &str| check_inputs(&signature, inputs).expect_err("refused").to_string();
    assert!(refused("[]").starts_with("with a list instead of an object of names and values; the program takes "));
    assert!(refused("{").starts_with("with inputs that are no JSON: "));
    let long = refused(&format!("{{\"{}\": 1}}", "x".repeat(10_000)));
    assert!(long.len() < 1000 && long.contains(&format!("with unknown {}…", "x".repeat(64))), "{long}");
    let many: serde_json::Map<String, Value> = (0..1000).map(|number| (format!("f{number}"), json!(1))).collect();
    let error = check_inputs(&signature, &Value::Object(many).to_string()).expect_err("unknown").to_string();
    assert!(error.contains("and 992 more") && error.len() < 300, "{error}");
}

fn annotation() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["str", "int", "float", "bool", "Any", "dspy.Image", "Literal['a', 2]"])
        .prop_map(str::to_owned);
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| format!("list[{inner}]")),
            inner.clone().prop_map(|inner| format!("dict[str, {inner}]")),
            inner.clone().prop_map(|inner| format!("Optional[{inner}]")),
            (inner.clone(), inner).prop_map(|(left, right)| format!("{left} | {right}")),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_or_refused_and_never_more(text in any::<String>()) {
        let _ = Signature::of_text(&text, TypeNames::Known);
        let _ = Signature::of_text(&format!("a: {text} -> b"), TypeNames::Any);
    }

    #[test]
    fn what_was_read_is_written_and_read_again(types in prop::collection::vec(prop::option::of(annotation()), 2..6)) {
        let fields: Vec<String> = types.iter().zip(0..).map(|(annotation, number)| match annotation {
            Some(annotation) => format!("f{number}: {annotation}"),
            None => format!("f{number}"),
        }).collect();
        let (last, inputs) = fields.split_last().expect("two at least");
        let signature = read(&format!("{} -> {last}", inputs.join(", ")));
        prop_assert_eq!(read(&signature.text()), signature);
    }

    #[test]
    fn inputs_of_any_kind_are_accepted_or_refused_and_never_more(text in any::<String>()) {
        let signature = read("q: list[dict[str, int | None]], s -> a");
        let _ = check_inputs(&signature, &text);
        let _ = check_inputs(&signature, &json!({"q": text, "s": 1}).to_string());
    }
}
