//! JSON, as remotes answer in it, and as files come with it. What is read of it is a few names, so a value stays the text
//! that it is: checked as a whole, strictly, before anything is looked for in it, and never more of it in memory than came.
//! `serde_json`, against which this is tested, would be a tenth of what a browser loads.

use std::str::Chars;

/// It is not well-formed, or not of the form that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unusable;

/// Deeper ones are refused: answers are four deep.
const MAX_DEPTH: usize = 32;

/// The text of a well-formed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// A value, and nothing more.
    pub fn one(text: &'a [u8]) -> Result<Self, Unusable> {
        let mut values = Self::many(text);
        match (values.next(), values.next()) {
            (Some(value), None) => value,
            _ => Err(Unusable),
        }
    }

    /// Values one after another, up to the first that is not well-formed.
    pub fn many(text: &'a [u8]) -> impl Iterator<Item = Result<Self, Unusable>> {
        let mut rest = Some(Scanner(std::str::from_utf8(text).unwrap_or("not a text")));
        std::iter::from_fn(move || {
            let mut scanner = rest.take()?;
            scanner.skip_blanks();
            if scanner.0.is_empty() {
                return None;
            }
            let value = scanner.value(MAX_DEPTH).ok_or(Unusable);
            rest = value.is_ok().then_some(scanner);
            Some(value)
        })
    }

    /// What this name of an object stands for; none where that is `null`, and of what is no object.
    pub fn get(self, name: &str) -> Option<Json<'a>> {
        let (_, value) = self.members().find(|(known, _)| known == name)?;
        (value.0 != "null").then_some(value)
    }

    /// The names of an object, and what each stands for; none of anything else.
    pub fn members(self) -> impl Iterator<Item = (String, Json<'a>)> {
        let (mut rest, mut first) = (Scanner(self.0), true);
        let is_object = rest.goes_past('{');
        std::iter::from_fn(move || {
            let another = is_object && rest.goes_on('}', &mut first)?;
            another.then(|| rest.member(MAX_DEPTH))?
        })
    }

    /// The values of a list.
    pub fn items(self) -> Option<impl Iterator<Item = Json<'a>>> {
        let (mut rest, mut first) = (Scanner(self.0), true);
        let is_list = rest.goes_past('[');
        is_list.then(|| std::iter::from_fn(move || rest.goes_on(']', &mut first)?.then(|| rest.value(MAX_DEPTH))?))
    }

    /// What a string says.
    pub fn text(self) -> Option<String> {
        Scanner(self.0).string()
    }

    /// A whole number from 0.
    pub fn count(self) -> Option<usize> {
        self.0.parse().ok()
    }

    /// Whether it says true, or false.
    pub fn flag(self) -> Option<bool> {
        self.0.parse().ok()
    }

    /// It, if it is an object.
    pub fn object(self) -> Result<Self, Unusable> {
        if self.0.starts_with('{') { Ok(self) } else { Err(Unusable) }
    }
}

/// What is still to be read.
pub struct Scanner<'a>(pub &'a str);

impl<'a> Scanner<'a> {
    /// Goes past blanks.
    pub fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    /// Whether this comes next, after blanks perhaps; if so, it is read.
    pub fn goes_past(&mut self, character: char) -> bool {
        self.skip_blanks();
        let rest = self.0.strip_prefix(character);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Whether a list has another member, or ends here.
    pub fn goes_on(&mut self, end: char, first: &mut bool) -> Option<bool> {
        if self.goes_past(end) {
            return Some(false);
        }
        (std::mem::take(first) || self.goes_past(',')).then_some(true)
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        let depth = depth.checked_sub(1)?;
        self.skip_blanks();
        let (all, mut first) = (self.0, true);
        match all.chars().next()? {
            '"' => drop(self.string()?),
            '{' => {
                self.goes_past('{');
                while self.goes_on('}', &mut first)? {
                    self.member(depth)?;
                }
            }
            '[' => {
                self.goes_past('[');
                while self.goes_on(']', &mut first)? {
                    self.value(depth)?;
                }
            }
            't' => self.0 = all.strip_prefix("true")?,
            'f' => self.0 = all.strip_prefix("false")?,
            'n' => self.0 = all.strip_prefix("null")?,
            _ => _ = self.number()?,
        }
        all.get(..all.len() - self.0.len()).map(Json)
    }

    fn member(&mut self, depth: usize) -> Option<(String, Json<'a>)> {
        self.skip_blanks();
        let name = self.string()?;
        if !self.goes_past(':') {
            return None;
        }
        Some((name, self.value(depth)?))
    }

    /// Reads a string.
    pub fn string(&mut self) -> Option<String> {
        let mut characters = self.0.strip_prefix('"')?.chars();
        let mut text = String::new();
        loop {
            text.push(match characters.next()? {
                '"' => break,
                '\\' => escaped(&mut characters)?,
                control if control < ' ' => return None,
                plain => plain,
            });
        }
        self.0 = characters.as_str();
        Some(text)
    }

    /// Reads a number: its text.
    pub fn number(&mut self) -> Option<&'a str> {
        let all = self.0;
        let rest = self.0.strip_prefix('-').unwrap_or(self.0);
        let mut rest = rest.strip_prefix('0').or_else(|| digits(rest))?;
        if let Some(fraction) = rest.strip_prefix('.') {
            rest = digits(fraction)?;
        }
        if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
            rest = digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))?;
        }
        self.0 = rest;
        all.get(..all.len() - rest.len())
    }
}

/// What comes after one digit or more.
fn digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|character: char| character.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}

/// The character that is meant by what follows a backslash.
fn escaped(characters: &mut Chars<'_>) -> Option<char> {
    Some(match characters.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        plain @ ('"' | '\\' | '/') => plain,
        'u' => {
            let first = utf16(characters)?;
            // Of a pair there is the other half.
            let second = if (0xd800..0xdc00).contains(&first) {
                (characters.next()? == '\\' && characters.next()? == 'u').then(|| utf16(characters))?
            } else {
                None
            };
            char::decode_utf16([first].into_iter().chain(second)).next()?.ok()?
        }
        _ => return None,
    })
}

fn utf16(characters: &mut Chars<'_>) -> Option<u16> {
    (0..4).try_fold(0, |unit, _| Some(unit << 4 | characters.next()?.to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The same value, as serde_json has it.
    fn rebuilt(json: Json<'_>) -> Value {
        if let Some(text) = json.text() {
            return Value::String(text);
        }
        if let Some(items) = json.items() {
            return items.map(rebuilt).collect();
        }
        if json.object().is_ok() {
            return Value::Object(json.members().map(|(name, value)| (name, rebuilt(value))).collect());
        }
        serde_json::from_str(json.0).unwrap()
    }

    fn same(text: &[u8]) {
        match (Json::one(text), serde_json::from_slice::<Value>(text)) {
            (Ok(ours), Ok(theirs)) => assert_eq!(rebuilt(ours), theirs),
            (Err(_), Err(_)) => {}
            // Numbers too large for it.
            (Ok(_), Err(error)) if error.to_string().contains("number out of range") => {}
            (ours, theirs) => panic!("{:?}: {ours:?}, {theirs:?}", String::from_utf8_lossy(text)),
        }
    }

    #[test]
    fn what_is_json_and_what_is_not() {
        let texts = [
            r#" {"a" : [1, -0.5e+3, "b\u00e9\ud83d\ude00\/\"", null, true, false], "": {}, "c": [] } "#,
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\u0041""#,
            r#""\x""#,
            r#""\u00g0""#,
            r#""\u+0ff""#,
            "\"a\u{1}\"",
            "\"a\nb\"",
            "\"a",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{1:1}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "-0",
            "tru",
            "nullnull",
            "[] []",
            "",
            " ",
            "\u{feff}1",
            "\u{a0}1",
        ];
        texts.iter().for_each(|text| same(text.as_bytes()));
        same(b"\"\xff\"");
    }

    #[test]
    fn names_lists_and_numbers_are_found() {
        let text = br#"{"Key":"bafy","\u0041":[1,2],"None":null,"Count":12,"More":{"Key":-1}}"#;
        let json = Json::one(text).unwrap();
        assert_eq!(json.get("Key").and_then(Json::text).as_deref(), Some("bafy"));
        assert_eq!(json.get("A").and_then(Json::items).unwrap().filter_map(Json::count).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(json.get("None"), None);
        assert_eq!(json.get("Count").and_then(Json::count), Some(12));
        assert_eq!(json.get("More").and_then(|more| more.get("Key")).and_then(Json::count), None);
        assert_eq!(json.get("bafy"), None);
        assert_eq!(json.members().count(), 5);
    }

    #[test]
    fn too_deep_is_refused_and_what_came_before_a_fault_is_read() {
        let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(Json::one(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(Json::one(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(Json::one("[".repeat(1 << 20).as_bytes()).is_err());
        let values: Vec<_> = Json::many(b"{}\n[1]\n{\"a\":\n{}").map(|one| one.is_ok()).collect();
        assert_eq!(values, [true, true, false]);
        assert_eq!(Json::many(b" \n").count(), 0);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_what_another_wrote(value in values(), pretty: bool) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            same(&text);
        }

        #[test]
        fn it_takes_what_another_takes(text in r#"[\[\]{},:"0-9eE+.\\/u dtrufalsn-]{0,16}"#) {
            same(text.as_bytes());
        }
    }
}
