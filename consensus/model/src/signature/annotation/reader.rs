//! Reads types: names with dots, arguments in brackets, `|` between alternatives.

use serde_json::{Number, Value};

use super::super::TypeNames;
use super::{Annotation, DEPTH_MAX};
use crate::echo::quoted;

/// Names of Python's own and of `typing` that are types, beside those that `meaning` knows more of.
const OPAQUE: &[&str] = &[
    "AbstractSet",
    "Annotated",
    "Any",
    "AnyStr",
    "ByteString",
    "Callable",
    "ChainMap",
    "ClassVar",
    "Counter",
    "Final",
    "Hashable",
    "LiteralString",
    "NamedTuple",
    "Sized",
    "SupportsAbs",
    "SupportsFloat",
    "SupportsIndex",
    "SupportsInt",
    "Type",
    "TypedDict",
    "bytearray",
    "bytes",
    "complex",
    "object",
];
const LISTS: &[&str] = &[
    "Collection",
    "Deque",
    "FrozenSet",
    "Iterable",
    "Iterator",
    "List",
    "MutableSequence",
    "MutableSet",
    "Sequence",
    "Set",
    "frozenset",
    "list",
    "set",
];
const DICTS: &[&str] = &["DefaultDict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "dict"];

pub(super) fn read(text: &str, names: TypeNames) -> Result<Annotation, String> {
    let mut reader = Reader { text, place: 0, names };
    let read = reader.alternatives(0)?;
    reader.spaces();
    match reader.rest() {
        "" => Ok(read),
        rest => Err(format!("{} is left over behind the type in {}", quoted(rest), quoted(text))),
    }
}

struct Reader<'a> {
    text: &'a str,
    place: usize,
    names: TypeNames,
}

/// An argument in brackets.
enum Argument {
    Type(Annotation),
    Value(Value),
    Ellipsis,
}

impl<'a> Reader<'a> {
    fn alternatives(&mut self, depth: usize) -> Result<Annotation, String> {
        let mut choices = vec![self.single(depth)?];
        while self.takes("|") {
            choices.push(self.single(depth)?);
        }
        Ok(one_of(choices))
    }

    fn single(&mut self, depth: usize) -> Result<Annotation, String> {
        if depth > DEPTH_MAX {
            return Err(format!("the type is nested deeper than {DEPTH_MAX}"));
        }
        let name = self.name()?;
        let arguments = if self.takes("[") { Some(self.arguments(name, depth)?) } else { None };
        self.meaning(name, arguments)
    }

    fn name(&mut self) -> Result<&'a str, String> {
        self.spaces();
        let rest = self.rest();
        let end = rest.find(|next: char| !(next.is_alphanumeric() || next == '_' || next == '.')).unwrap_or(rest.len());
        let name = &rest[..end];
        let is_name = |part: &str| part.starts_with(|first: char| first.is_alphabetic() || first == '_');
        if name.is_empty() || !name.split('.').all(is_name) {
            return Err(match rest.chars().next() {
                Some(_) => format!("{} is no type, as str, list[str] or int | None", quoted(rest)),
                None => format!("a type is missing at the end of {}", quoted(self.text)),
            });
        }
        self.place += end;
        Ok(name)
    }

    fn arguments(&mut self, of: &str, depth: usize) -> Result<Vec<Argument>, String> {
        let mut arguments = Vec::new();
        loop {
            if self.takes("]") {
                break;
            }
            arguments.push(self.argument(of, depth)?);
            if !self.takes(",") {
                if self.takes("]") {
                    break;
                }
                return Err(format!("a bracket of {} is not closed", quoted(self.text)));
            }
        }
        if arguments.is_empty() { Err(format!("{of}[] has nothing in its brackets")) } else { Ok(arguments) }
    }

    fn argument(&mut self, of: &str, depth: usize) -> Result<Argument, String> {
        self.spaces();
        if self.takes("...") {
            return Ok(Argument::Ellipsis);
        }
        if last(of) == "Literal" {
            return self.literal().map(Argument::Value);
        }
        self.alternatives(depth + 1).map(Argument::Type)
    }

    fn literal(&mut self) -> Result<Value, String> {
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|first| ['"', '\''].contains(first)) {
            let Some(end) = rest[1..].find(quote) else { return Err(format!("{} has no closing quote", quoted(rest))) };
            let text = &rest[1..=end];
            if text.contains('\\') {
                return Err(format!("{}: a literal has no backslash here", quoted(text)));
            }
            self.place += end + 2;
            return Ok(Value::from(text));
        }
        let end = rest.find([',', ']']).unwrap_or(rest.len());
        let word = rest[..end].trim();
        self.place += end;
        match word {
            "True" => Ok(Value::Bool(true)),
            "False" => Ok(Value::Bool(false)),
            "None" => Ok(Value::Null),
            number => {
                let read = number.parse::<u64>().map(Number::from);
                read.map(Value::Number).map_err(|_| {
                    format!("{} is no literal: a text in quotes, a whole number, True, False or None", quoted(word))
                })
            }
        }
    }

    fn meaning(&self, name: &str, arguments: Option<Vec<Argument>>) -> Result<Annotation, String> {
        let takes_none = || match &arguments {
            Some(_) => Err(format!("{name} takes nothing in brackets")),
            None => Ok(()),
        };
        let base = if let Some(inner) = name.strip_prefix("typing.") { inner } else { name };
        match base {
            "str" | "Text" => takes_none().map(|()| Annotation::Text),
            "int" => takes_none().map(|()| Annotation::Whole),
            "float" => takes_none().map(|()| Annotation::Number),
            "bool" => takes_none().map(|()| Annotation::Truth),
            "None" | "NoneType" => takes_none().map(|()| Annotation::Nothing),
            "Literal" => self.among(arguments),
            "Optional" => match types(name, arguments)?.as_mut_slice() {
                [inner] => Ok(one_of(vec![std::mem::replace(inner, Annotation::Anything), Annotation::Nothing])),
                _ => Err("Optional takes one type, as Optional[str]".to_owned()),
            },
            "Union" => match types(name, arguments)? {
                choices if choices.is_empty() => Err("Union takes types, as Union[int, str]".to_owned()),
                choices => Ok(one_of(choices)),
            },
            // Of a tuple only that it is one: its places may differ.
            "tuple" | "Tuple" => {
                let elements = match arguments.as_deref() {
                    Some([Argument::Type(element), Argument::Ellipsis]) => element.clone(),
                    _ => Annotation::Anything,
                };
                Ok(Annotation::Elements(Box::new(elements)))
            }
            list if LISTS.contains(&list) => match types(name, arguments)?.as_slice() {
                [] => Ok(Annotation::Elements(Box::new(Annotation::Anything))),
                [element] => Ok(Annotation::Elements(Box::new(element.clone()))),
                _ => Err(format!("{name} takes one type, as {name}[str]")),
            },
            dict if DICTS.contains(&dict) => match types(name, arguments)?.as_slice() {
                [] => Ok(Annotation::Values(Box::new(Annotation::Anything))),
                [_, value] => Ok(Annotation::Values(Box::new(value.clone()))),
                _ => Err(format!("{name} takes two types, as {name}[str, int]")),
            },
            known if OPAQUE.contains(&known) => Ok(Annotation::Anything),
            // Of a module: only Python knows.
            dotted if dotted.contains('.') => Ok(Annotation::Anything),
            _ if self.names == TypeNames::Any => Ok(Annotation::Anything),
            unknown => Err(format!(
                "{} is no type that is known here; a class of a module is written with it, as dspy.Image",
                quoted(unknown)
            )),
        }
    }

    fn among(&self, arguments: Option<Vec<Argument>>) -> Result<Annotation, String> {
        let values = arguments.into_iter().flatten().map(|argument| match argument {
            Argument::Value(value) => Ok(value),
            _ => Err("Literal takes values, as Literal[\"yes\", \"no\"]".to_owned()),
        });
        let values: Vec<Value> = values.collect::<Result<_, _>>()?;
        if values.is_empty() {
            Err("Literal takes values, as Literal[\"yes\", \"no\"]".to_owned())
        } else {
            Ok(Annotation::Among(values))
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.place..]
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.place += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, sign: &str) -> bool {
        self.spaces();
        let found = self.rest().starts_with(sign);
        if found {
            self.place += sign.len();
        }
        found
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn types(of: &str, arguments: Option<Vec<Argument>>) -> Result<Vec<Annotation>, String> {
    let only = |argument| match argument {
        Argument::Type(annotation) => Ok(annotation),
        Argument::Value(_) | Argument::Ellipsis => Err(format!("{of} takes types in its brackets")),
    };
    arguments.into_iter().flatten().map(only).collect()
}

fn one_of(mut choices: Vec<Annotation>) -> Annotation {
    match choices.len() {
        1 => choices.swap_remove(0),
        _ => Annotation::OneOf(choices),
    }
}
