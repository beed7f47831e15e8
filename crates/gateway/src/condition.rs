//! Conditions: expressions in CEL over what a callback says, the one language for every `when` of the configuration.
//!
//! `payload` is the JSON body under the names of the wire, `query` has the parameters of the URL, `time` is when the
//! callback arrived, in UTC. All of CEL's standard library can be used but optional values (`a.?b`) and messages
//! (`Name{..}`). The pattern of `matches` has to be a literal, so that it is compiled once.
//!
//! A condition takes time in proportion to the body: inside of a macro (`list.exists(x, ..)`) only the macro's own
//! variable can be walked over, and all else compared with it.

mod check;
mod facts;

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, LazyLock};
use std::thread;

use cel::common::traits::Container;
use cel::common::types::{CelBool, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use cel::parser::Expression;
use cel::{Context, Env, ExecutionError, Value};
use regex::Regex;

pub(crate) use self::facts::Facts;

/// How long a condition may be, in bytes.
const MAX_LENGTH: usize = 8192;

/// The stack of the parser. In a build without optimization it takes 100 KiB for a parenthesis, of which it allows 96,
/// and 2 KiB for each plus of `1+1+1`, of which there may be one every other byte.
const PARSER_STACK: usize = 64 << 20;

/// The functions and types of the language, made once.
static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// A condition in CEL over `payload`, `query` and `time`.
pub(crate) struct Condition {
    text: Box<str>,
    expression: Expression,
    patterns: Vec<Pattern>,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// When it is no CEL, or uses a variable or a function that is not there, or values that can never fit.
    pub(crate) fn compile(text: &str) -> Result<Self, ConditionError> {
        if text.len() > MAX_LENGTH {
            return Err(ConditionError::new((1, 1), format!("longer than {MAX_LENGTH} bytes")));
        }
        // On a thread of its own: the parser is as deep in recursion as the text is in nesting, and may panic.
        let checked = thread::scope(|scope| {
            let parser = thread::Builder::new().stack_size(PARSER_STACK);
            parser.spawn_scoped(scope, || check::read(text)).ok()?.join().ok()
        });
        let (expression, patterns) =
            checked.unwrap_or_else(|| Err(ConditionError::new((1, 1), "cannot be read".to_owned())))?;
        Ok(Self { text: text.into(), expression, patterns })
    }

    /// Whether it holds. It does not where it looks at something that is not there, be it with `!=`: `has` tells.
    ///
    /// # Errors
    /// When its types do not fit together, or the body is no JSON object and it looks at `payload`.
    pub(crate) fn holds(&self, facts: &Facts) -> Result<bool, ConditionFailed> {
        // The interpreter panics on trees that the parser does not make.
        let result = panic::catch_unwind(AssertUnwindSafe(|| self.evaluate(facts)));
        result.unwrap_or_else(|_| Err(ConditionFailed("the interpreter panicked".to_owned())))
    }

    fn evaluate(&self, facts: &Facts) -> Result<bool, ConditionFailed> {
        let scope = Scope { facts, patterns: &self.patterns };
        let context = scope.context();
        match Value::resolve_val(&self.expression, &context) {
            Ok(value) => match value.downcast_ref::<CelBool>() {
                Some(holds) => Ok(*holds.inner()),
                None => Err(ConditionFailed(format!("its value is {}, not bool", value.get_type().name()))),
            },
            Err(ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_)) => Ok(false),
            Err(error) => Err(ConditionFailed(explain(&error))),
        }
    }

    /// The condition as it was written.
    #[cfg(test)]
    fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

/// Why a text is no condition, and where.
#[derive(Debug, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub(crate) struct ConditionError {
    line: usize,
    column: usize,
    problem: String,
}

impl ConditionError {
    fn new((line, column): (usize, usize), problem: String) -> Self {
        Self { line, column, problem }
    }
}

/// Why it is not known whether a condition holds. Names types and functions, never values: they are users'.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConditionFailed(String);

/// What an error of the interpreter means, without the values that it quotes.
fn explain(error: &ExecutionError) -> String {
    // `_&&_` and `@in` are how the tree spells operators.
    let plain = |function: &str| function.trim_matches(['_', '@']).to_owned();
    match error {
        ExecutionError::NoSuchOverload(call) => {
            format!("`{}` does not take ({})", plain(call.function()), call.argument_types().join(", "))
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!("`{operator}` does not take ({}, {})", left.type_of(), right.type_of())
        }
        ExecutionError::UnsupportedKeyType(key) => format!("{} cannot be a key", key.type_of()),
        ExecutionError::UnexpectedType { got, want } => format!("wants {want}, not {got}"),
        ExecutionError::FunctionError { function, .. } => format!("`{function}` does not take this value"),
        ExecutionError::UndeclaredReference(name) => format!("there is no `{name}`"),
        ExecutionError::Overflow(operator, ..) => format!("`{operator}` overflows"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".to_owned(),
        ExecutionError::DuplicateKey(_) => "a key of a map is there twice".to_owned(),
        ExecutionError::InternalError(problem) => problem.clone(),
        _ => "cannot be evaluated".to_owned(),
    }
}

/// What the names of a condition stand for.
struct Scope<'a> {
    facts: &'a Facts,
    patterns: &'a [Pattern],
}

impl<'a> Scope<'a> {
    /// The variables that a condition may name.
    const VARIABLES: [&'static str; 3] = ["payload", "query", "time"];

    fn context(&'a self) -> Context<'a, 'a> {
        let mut context = Context::with_env(Arc::clone(&LANGUAGE));
        context.set_variable_resolver(self);
        context
    }
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        Some(CowVal::Borrowed(match name {
            "payload" => self.facts.payload(),
            "query" => self.facts.query(),
            "time" => self.facts.time(),
            _ => self.patterns.get(Pattern::index(name)?)?,
        }))
    }
}

/// A compiled regular expression as a value: `text.matches("a|b")` is read as `text in @0`.
#[derive(Debug, Clone)]
struct Pattern(Regex);

static PATTERN: Type = Type::new_unspecified_type("pattern");

impl Pattern {
    /// The variable of a pattern: no text of a condition can name it.
    fn variable(index: usize) -> String {
        format!("@{index}")
    }

    fn index(variable: &str) -> Option<usize> {
        variable.strip_prefix('@')?.parse().ok()
    }
}

impl Container for Pattern {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        match value.downcast_ref::<CelString<'_>>() {
            Some(text) => Ok(self.0.is_match(text.inner())),
            None => {
                Err(ExecutionError::InternalError(format!("`matches` does not take ({})", value.get_type().name())))
            }
        }
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN
    }

    fn cel_type() -> &'static Type {
        &PATTERN
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }
}

impl StaticVal for Pattern {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::{Condition, Facts};

    const QUERY: &str = "SdkAppid=1400000001&CallbackCommand=Group.CallbackBeforeSendMsg&contenttype=json\
                         &ClientIP=203.0.113.61&OptPlatform=Web&RequestID=0c0b";

    const BODY: &str = r#"{"CallbackCommand":"Group.CallbackBeforeSendMsg","GroupId":"@TGS#2KX7QWPLM",
        "Type":"AVChatRoom","From_Account":"u_501","Random":2987654321,"OnlineOnlyFlag":0,"Score":1.5,"None":null,
        "Huge":18446744073709551615,"Debt":-7,"Yes":true,"MsgBody":[
            {"MsgType":"TIMTextElem","MsgContent":{"Text":"caf\u00e9 at https://example.com"}},
            {"MsgType":"TIMImageElem","MsgContent":{"ImageInfoArray":[{"Size":1853095}]}}],
        "CloudCustomData":"","EventTime":1764812230456}"#;

    /// 2025-12-04T01:37:10.456Z, a Thursday.
    fn time() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_764_812_230_456)
    }

    fn facts() -> Facts {
        Facts::new(QUERY, BODY.as_bytes(), time())
    }

    #[track_caller]
    fn condition(text: &str) -> Condition {
        Condition::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Whether a condition holds, or what its failure says.
    #[track_caller]
    fn holds(text: &str, facts: &Facts) -> Result<bool, String> {
        condition(text).holds(facts).map_err(|failed| failed.to_string())
    }

    fn error(text: &str) -> String {
        Condition::compile(text).map(|_| ()).unwrap_err().to_string()
    }

    #[track_caller]
    fn all(expected: bool, texts: &[&str]) {
        let facts = facts();
        for text in texts {
            assert_eq!(holds(text, &facts), Ok(expected), "{text}");
        }
    }

    #[test]
    fn payload_and_query_decide_together() {
        let web = condition(r#"payload.Type == "AVChatRoom" && query.OptPlatform == "Web""#);
        let table = [
            ("OptPlatform=Web", r#"{"Type":"AVChatRoom"}"#, true),
            ("OptPlatform=iOS", r#"{"Type":"AVChatRoom"}"#, false),
            ("OptPlatform=Web", r#"{"Type":"Public"}"#, false),
            ("OptPlatform=iOS", r#"{"Type":"Public"}"#, false),
            ("OptPlatform=Web", "{}", false),
            ("", r#"{"Type":"AVChatRoom"}"#, false),
        ];
        for (query, body, expected) in table {
            let facts = Facts::new(query, body.as_bytes(), time());
            assert_eq!(web.holds(&facts).unwrap(), expected, "{query} {body}");
        }
    }

    #[test]
    fn a_payload_is_what_the_wire_says() {
        all(
            true,
            &[
                "payload.EventTime > 5 && payload.OnlineOnlyFlag == 0",
                "payload.Random == 2987654321 && payload.Debt < 0 && payload.Score == 1.5 && payload.Score > 1",
                "payload.Huge == 18446744073709551615u && payload.Huge > payload.EventTime",
                "payload.Yes && payload.None == null && payload.CloudCustomData == ''",
                "type(payload.Debt) == int && type(payload.Huge) == uint && type(payload.Score) == double",
                "type(payload) == map && type(payload.MsgBody) == list && type(payload.MsgBody[0]) == map",
                "payload.MsgBody[0].MsgContent.Text.contains('café')",
                "payload['From_Account'] == 'u_501' && 'GroupId' in payload && !('Topic' in payload)",
                "payload.MsgBody.exists(e, e.MsgType == 'TIMImageElem') && size(payload.MsgBody) == 2",
                "payload.MsgBody.exists(e, e.MsgContent.ImageInfoArray.exists(i, i.Size > 1000000))",
                "payload.MsgBody.filter(e, e.MsgType == 'TIMTextElem').size() == 1",
                "payload.exists(name, name == 'Debt') && payload.size() == 14",
                "[payload][0].Type == 'AVChatRoom'",
                "payload.From_Account in ['u_500', 'u_501'] && !(payload.From_Account in ['u_1'])",
                "payload.From_Account.startsWith('u_') ? payload.Yes : false",
            ],
        );
        all(
            false,
            &[
                "payload.From_Account in []",
                "payload.Type == 1 || payload.None == false",
                "payload.MsgBody.all(e, e.MsgType == 'TIMTextElem')",
                "payload.Debt > payload.Huge",
            ],
        );
    }

    #[test]
    fn what_is_not_there_makes_it_false() {
        all(
            false,
            &[
                "payload.Topic == 'a'",
                "payload.Topic != 'a'",
                "!(payload.Topic == 'a')",
                "payload.Topic > 5",
                "payload.Topic.Name == 'a'",
                "payload['Topic'] != 'a'",
                "!payload.Topic.matches('a')",
                "!(payload.Topic in ['a'])",
                "payload.Yes && payload.Topic == 'a'",
                "payload.Type == 'Public' || payload.Topic != 'a'",
                "payload.MsgBody[2].MsgType == 'TIMTextElem'",
                "payload.MsgBody.all(e, e.MsgContent.Text != '')",
                "query.Tag != 'a'",
                "!has(payload.Topic.Name)",
            ],
        );
        // What is there may decide without it.
        all(
            true,
            &[
                "payload.Topic == 'a' || payload.Yes",
                "payload.Yes || payload.Topic == 'a'",
                "payload.MsgBody.exists(e, e.MsgContent.Text != '')",
            ],
        );
    }

    #[test]
    fn has_tells_what_is_there() {
        all(
            true,
            &[
                "has(payload.Type) && has(payload.None) && has(query.ClientIP)",
                "!has(payload.Topic) && !has(query.Tag)",
                "has(payload.Topic) ? payload.Topic == 'a' : payload.Yes",
                "payload.MsgBody.exists(e, !has(e.MsgContent.Text))",
            ],
        );
    }

    #[test]
    fn parameters_have_the_spelling_of_the_documentation() {
        let query = "sdkAppId=1400000001&callbackcommand=State.StateChange&CONTENTTYPE=json&clientip=2001%3Adb8%3A%3A1\
                     &OPTPLATFORM=IOS&requestid=0c0b&Tag=a+b%26c&tag=d&empty";
        let facts = Facts::new(query, b"{}", time());
        for text in [
            "query.SdkAppid == 1400000001 && query.CallbackCommand == 'State.StateChange'",
            "query.contenttype == 'json' && query.ClientIP == '2001:db8::1' && query.RequestID == '0c0b'",
            "query.OptPlatform == 'iOS'",
            "query.Tag == 'a b&c' && query.tag == 'd' && query.empty == '' && query.size() == 9",
        ] {
            assert_eq!(holds(text, &facts), Ok(true), "{text}");
        }
    }

    #[test]
    fn the_first_of_a_parameter_counts() {
        let facts = Facts::new("OptPlatform=Web&optplatform=iOS&a=1&a=2&SdkAppid=x&sdkappid=2", b"", time());
        assert_eq!(holds("query.OptPlatform == 'Web' && query.a == '1' && query.SdkAppid == 'x'", &facts), Ok(true));
    }

    #[test]
    fn the_signature_is_hidden() {
        let facts = Facts::new("Sign=ab&RequestTime=1&sign=cd&REQUESTTIME=2&a=1", b"", time());
        assert_eq!(holds("query.size() == 1 && !('Sign' in query) && !('sign' in query)", &facts), Ok(true));
        assert_eq!(error("query.Sign == 'ab'"), "line 1, column 1: conditions cannot see `Sign`");
        assert_eq!(error("has(query.requesttime)"), "line 1, column 5: conditions cannot see `RequestTime`");
    }

    #[test]
    fn time_is_when_it_arrived() {
        all(
            true,
            &[
                "time.getHours() == 1 && time.getHours('Asia/Shanghai') == 9 && time.getHours('-03:00') == 22",
                "time.getDayOfWeek() == 4 && time.getDayOfWeek('-03:00') == 3",
                "time.getFullYear() == 2025 && time.getMilliseconds() == 456",
                "time > timestamp('2025-12-04T00:00:00Z') && time - duration('2h') < timestamp('2025-12-04T00:00:00Z')",
                "int(time) == 1764812230 && time - timestamp(payload.EventTime / 1000) < duration('1s')",
            ],
        );
        let before_1970 = Facts::new("", b"", UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(holds("int(time) == 0", &before_1970), Ok(true));
        let far = Facts::new("", b"", UNIX_EPOCH + Duration::from_secs(1 << 60));
        assert!(holds("time + duration('2000000h') > time", &far).is_ok());
    }

    #[test]
    fn matches_searches_a_text() {
        all(
            true,
            &[
                r#"payload.MsgBody[0].MsgContent.Text.matches("(?i)HTTPS?://\\S+")"#,
                "matches(payload.From_Account, '^u_[0-9]+$') && !payload.From_Account.matches('^u_[0-4]+$')",
                "payload.MsgBody.exists(e, e.MsgType.matches('Text') && e.MsgType.matches('Elem$'))",
            ],
        );
        assert_eq!(holds("payload.Debt.matches('7')", &facts()).unwrap_err(), "`matches` does not take (int)");
    }

    #[test]
    fn a_pattern_takes_no_more_than_linear_time() {
        let body = format!(r#"{{"Text":"{}!"}}"#, "a".repeat(100_000));
        let facts = Facts::new("", body.as_bytes(), time());
        assert_eq!(holds("payload.Text.matches('^(a+)+$')", &facts), Ok(false));
    }

    #[test]
    fn a_pattern_is_checked_at_once() {
        assert_eq!(
            error("payload.a.matches('x') &&\n payload.b.matches('(a')"),
            "line 2, column 20: no regular expression: unclosed group"
        );
        assert!(error("payload.a.matches('x{1000}{1000}{1000}')").contains("size limit"));
        assert_eq!(
            error("payload.a.matches(payload.b)"),
            "line 1, column 26: the pattern of `matches` has to be a literal"
        );
        assert_eq!(error("payload.a.matches()"), "line 1, column 18: `matches` takes a text and a pattern");
    }

    #[test]
    fn a_syntax_error_is_told_with_its_place() {
        for (text, expected) in [
            ("payload.a == 1 &&\n  payload.b = 2", "line 2, column 13: unexpected `=`; did you mean `==`?"),
            ("payload.a == 'ü' && \n 'ü' == (1", "line 2, column 11: missing ')' at the end"),
            ("payload.a == ", "line 1, column 14: unexpected end"),
            ("", "line 1, column 1: unexpected end"),
            ("payload.a ? 1", "line 1, column 14: unexpected end"),
            ("payload.a | payload.b", "line 1, column 11: unexpected `|`; did you mean `||`?"),
            ("payload.a and payload.b", "line 1, column 11: unexpected `and`"),
            ("payload.a == 'b", "line 1, column 14: a text without end, or with an escape that is none"),
            ("payload.?a == 1", "line 1, column 8: unsupported syntax '.?'"),
            ("has(payload)", "line 1, column 5: invalid argument to has() macro"),
            ("99999999999999999999 == 1", "line 1, column 1: invalid int literal"),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_name_is_told_with_its_place() {
        for (text, expected) in [
            ("has(paylod.Type)", "line 1, column 5: unknown variable `paylod`; did you mean `payload`?"),
            ("true &&\n 'ü' == zz", "line 2, column 9: unknown variable `zz`; there are payload, query, time"),
            ("payload.a.all(x, y == 1)", "line 1, column 18: unknown variable `y`; there are payload, query, time"),
            (
                "payload.a.exists(x, x == 1) && x == 1",
                "line 1, column 32: unknown variable `x`; there are payload, query, time",
            ),
            ("payload.a.map(time, time).size() == 1", "line 1, column 14: `time` has a meaning already"),
            ("optional.of(payload.a) == 1", "line 1, column 10: unknown function `of`"),
            ("true || foo(payload.a)", "line 1, column 9: unknown function `foo`"),
            ("payload.a.lower() == 'b'", "line 1, column 11: unknown function `lower`"),
            ("contains(payload.a, 'b')", "line 1, column 1: unknown function `contains`"),
            ("query.optPlatform == 'Web'", "line 1, column 1: `optPlatform` is spelt `OptPlatform` here"),
            ("Message{text: 'a'} == 1", "line 1, column 8: there are no messages to make"),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn what_can_never_work_is_found_at_once() {
        for (text, expected) in [
            ("time.getHours('Asia/Shangai') > 8", "line 1, column 14: `timezone` does not take this value"),
            ("time - time < duration('5x')", "line 1, column 23: `duration` does not take this value"),
            ("time > 5", "line 1, column 6: `>` does not take (google.protobuf.Timestamp, int)"),
            ("1 / 0 == payload.a", "line 1, column 3: division by zero"),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn a_failure_names_types_and_no_values() {
        let facts = facts();
        for (text, expected) in [
            ("payload.Type", "its value is string, not bool"),
            ("payload.Random.size() == 1 || payload.Random", "`size` does not take (int)"),
            ("payload.Type > 5", "`>` does not take (string, int)"),
            ("payload.Type && true", "`&&` does not take (string, bool)"),
            ("!payload.Type", "`!` does not take (string)"),
            ("payload.Type ? true : false", "wants bool, not string"),
            ("payload.Type + 1 == 2", "`add` does not take (string, int)"),
            ("payload.Type.Name == 'a'", "`.` does not take (string, string)"),
            ("payload.None.Name == 'a'", "`.` does not take (null_type, string)"),
            ("'a' in payload.Type", "`in` does not take (string, string)"),
            ("payload.Type.all(c, c == 'a')", "wants iterable, not string"),
            ("int(payload.Type) == 1", "`int` does not take this value"),
            ("duration(payload.Type) > duration('1s')", "`duration` does not take this value"),
            ("payload.Random / payload.OnlineOnlyFlag == 1", "division by zero"),
            ("payload.Huge + 1u > 0u", "`add` overflows"),
            ("payload.Random.size() == 1", "`size` does not take (int)"),
            ("{payload.MsgBody: 1}.size() == 1", "list cannot be a key"),
        ] {
            assert_eq!(holds(text, &facts), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_body_that_is_no_object_fails_only_what_looks_at_it() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let bodies = ["", "null", "[1]", "{\"Type\":\"AVChatRoom\"", "{} {}", "not JSON", "\u{feff}{}", &deep];
        for body in bodies.map(str::as_bytes).into_iter().chain([&b"{\"Type\":\"\xff\"}"[..]]) {
            let facts = Facts::new(QUERY, body, time());
            assert_eq!(holds("query.OptPlatform == 'Web'", &facts), Ok(true));
            assert_eq!(holds("payload.Type == 'a' || query.OptPlatform == 'Web'", &facts), Ok(true));
            for text in ["payload.Type == 'AVChatRoom'", "!has(payload.Type)", "!('Type' in payload)"] {
                assert_eq!(holds(text, &facts), Err("the body is no JSON object".to_owned()), "{text}");
            }
            assert!(holds("payload.size() == 0", &facts).is_err() && holds("payload.all(k, false)", &facts).is_err());
        }
    }

    #[test]
    fn a_field_that_cannot_be_read_fails_only_what_looks_at_it() {
        let deep = format!("{}{}", "{\"a\":[".repeat(500_000), "]}".repeat(500_000));
        let many = format!("[{}1]", "1,".repeat(65_536));
        for value in [deep.as_str(), "1e999", &many] {
            let facts = Facts::new("", format!(r#"{{"Type":"Public","Odd":{value}}}"#).as_bytes(), time());
            assert_eq!(holds("payload.Type == 'Public' && 'Odd' in payload", &facts), Ok(true));
            let failed = holds("has(payload.Odd)", &facts).unwrap_err();
            assert_eq!(failed, "a field is nested too deeply, has too many values, or a number out of range");
        }
        let deepest = format!("{}1{}", "[".repeat(120), "]".repeat(120));
        let facts = Facts::new("", format!(r#"{{"Deep":{deepest}}}"#).as_bytes(), time());
        assert_eq!(holds("payload.Deep == payload.Deep && [payload.Deep][0] != [1]", &facts), Ok(true));
    }

    #[test]
    fn the_last_of_a_field_counts() {
        let facts = Facts::new("", br#"{"Type":"Public","T\u0079pe":"Private","a":{"b":1,"b":2}}"#, time());
        assert_eq!(holds("payload.Type == 'Private' && payload.a.b == 2", &facts), Ok(true));
    }

    #[test]
    fn a_condition_that_is_never_bool_is_refused() {
        for (text, column) in [
            ("1 + 1", 3),
            ("'payload.Yes'", 1),
            ("payload", 1),
            ("int", 1),
            ("[true]", 1),
            ("payload.MsgBody.size()", 21),
            ("payload.Random + 1", 16),
            ("-payload.Debt", 1),
            ("payload.MsgBody.filter(e, true)", 23),
            ("payload.MsgBody.map(e, true)", 20),
            ("time.getHours()", 14),
            ("payload.Yes ? 1 : 'a'", 13),
        ] {
            assert_eq!(error(text), format!("line 1, column {column}: is never true or false"), "{text}");
        }
        all(true, &["payload.Yes", "payload.Yes ? true : payload.Type", "true"]);
    }

    #[test]
    fn a_macro_looks_at_its_own_variable_and_compares_all_else() {
        all(
            true,
            &[
                "payload.MsgBody.exists(e, e.MsgType == payload.MsgBody[0].MsgType && query.OptPlatform != e.MsgType)",
                "payload.MsgBody.exists(e, has(payload.Type) && !has(e.Text) && time > timestamp('2020-01-01T00:00:00Z'))",
                "payload.MsgBody.exists(e, e.MsgContent.ImageInfoArray.exists(i, i.Size > 5 && e.MsgType != i))",
                "payload.MsgBody.exists(e, ['Image', 'File'].exists(kind, e.MsgType.contains(kind)))",
                "['a', 'u_5'].exists(part, payload.From_Account.contains(part))",
                "['TIMTextElem'].all(kind, payload.MsgBody.exists(e, e.MsgType.contains(kind)))",
                "payload.MsgBody.filter(e, e.MsgType != '').map(e, e.MsgType).exists(kind, kind.matches('Text'))",
                "'TIMTextElem' in payload.MsgBody.map(e, e.MsgType) && payload.MsgBody == payload.MsgBody",
            ],
        );
    }

    #[test]
    fn what_would_take_the_square_of_the_body_is_refused_with_its_place() {
        for (text, column, name) in [
            ("payload.MsgBody.exists(a, payload.MsgBody.exists(b, a.MsgType != b.MsgType))", 27, "payload"),
            ("payload.MsgBody.exists(a, a.MsgType in payload.MsgBody.map(b, b.MsgType))", 40, "payload"),
            ("payload.MsgBody.exists(a, a in payload.MsgBody)", 32, "payload"),
            ("payload.MsgBody.exists(a, a == payload)", 32, "payload"),
            ("payload.MsgBody.exists(a, payload.MsgBody == payload.MsgBody)", 27, "payload"),
            ("payload.MsgBody.exists(a, [payload.MsgBody] == [a])", 28, "payload"),
            ("payload.MsgBody.exists(a, payload.Type.contains(a.MsgType))", 27, "payload"),
            ("payload.MsgBody.exists(a, a.MsgType.contains(payload.Type))", 46, "payload"),
            ("payload.MsgBody.exists(a, payload.Type.matches('a'))", 27, "payload"),
            ("payload.MsgBody.exists(a, payload.Type + a.MsgType == 'a')", 27, "payload"),
            ("payload.MsgBody.exists(a, payload.MsgBody.size() == 1)", 27, "payload"),
            ("payload.MsgBody.exists(a, query.Tag.contains('a'))", 27, "query"),
            ("payload.MsgBody.map(a, payload.MsgBody) == []", 24, "payload"),
            ("payload.MsgBody.filter(a, a.MsgContent.filter(b, a.MsgContent.size() == 1) == []) == []", 50, "a"),
            ("payload.a.exists(x, payload.b[x] == 'a' && payload.c[payload.d] == x)", 21, "payload"),
            ("['a'].exists(w, payload.MsgBody.exists(e, payload.Type.contains(w)))", 43, "payload"),
        ] {
            let said = error(text);
            assert!(said.starts_with(&format!("line 1, column {column}: `{name}` would be walked")), "{text}: {said}");
        }
        let many = "[1,2,3,4,5].exists(a, [1,2,3,4,5].exists(b, payload.a == a + b))";
        assert_eq!(error(many), "line 1, column 41: macros over literals run more than 16 times here");
    }

    #[test]
    fn a_condition_takes_time_in_proportion_to_the_body() {
        let elements = |n: usize| {
            let element = r#"{"MsgType":"TIMTextElem","MsgContent":{"Text":"a","List":[1,2]}}"#;
            let odd: String = (0..n).map(|i| format!(r#""f{i}":1,"#)).collect();
            Facts::new("", format!("{{{odd}\"MsgBody\":[{}]}}", vec![element; n].join(",")).as_bytes(), time())
        };
        for text in [
            "payload.MsgBody.exists(a, a.MsgType == payload.f0 || a.MsgContent.List.exists(b, b == payload.f1 + 1))",
            "payload.MsgBody.map(a, a.MsgContent).filter(a, a.Text == 'b').exists(a, a.List == payload.MsgBody)",
            "payload.exists(name, name == 'x')",
            "payload.MsgBody == payload.MsgBody && payload.f0 == 2",
        ] {
            let Ok(condition) = Condition::compile(text) else { continue };
            let took = |n: usize| {
                let facts = elements(n);
                let began = std::time::Instant::now();
                assert!(!condition.holds(&facts).unwrap(), "{text}");
                began.elapsed()
            };
            took(1);
            let (short, long) = (took(500), took(10_000));
            assert!(long < 100 * short.max(Duration::from_millis(1)), "{text}: {short:?}, {long:?}");
        }
    }

    #[test]
    fn no_text_brings_the_parser_down() {
        let long = "payload.a == '".to_owned() + &"a".repeat(10_000) + "'";
        assert_eq!(error(&long), "line 1, column 1: longer than 8192 bytes");
        assert_eq!(
            error(&format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000))),
            "line 1, column 1: longer than 8192 bytes"
        );
        let nested = |open: &str, inner: &str, close: &str, times: usize| {
            format!("{}{inner}{}", open.repeat(times), close.repeat(times))
        };
        for text in [
            nested("(", "1", ")", 4000),
            nested("(", "1", ")", 90) + " == 1 + '",
            nested("[", "1", "]", 90),
            nested("{1:", "1", "}", 90),
            nested("dyn(", "1", ")", 90),
            nested("payload.a.all(x,", "true", ")", 90),
            nested("", "1", "+1", 4000),
            nested("", "payload", ".a", 4000),
            nested("", "payload", "[0]", 2500),
            nested("", "payload.a", ".size()", 1000),
            nested("true?true:", "true", "", 800),
            nested("payload.a&&(", "1", ")", 80),
            nested("(", "", "", 8000),
            nested("[", "", "", 8000),
            nested("!-", "1", "", 4000),
            nested("\u{1}", "", "", 8000),
            nested("'", "", "", 8000),
        ] {
            assert!(Condition::compile(&text).is_err(), "{}", &text[..40]);
        }
        // A wide one is no deep one.
        let wide = nested("", "payload.Type == 'a'", " || payload.Type == 'b'", 300);
        assert_eq!(holds(&wide, &facts()), Ok(false));
    }

    #[test]
    fn the_deepest_condition_can_be_evaluated_on_any_thread() {
        let sum = (1..).map(|terms| format!("payload.OnlineOnlyFlag{} == {terms}", " + 1".repeat(terms)));
        let deepest = sum.map_while(|text| Condition::compile(&text).ok()).last().unwrap();
        assert!(deepest.text().len() > 100 && deepest.holds(&facts()).unwrap(), "{deepest:?}");
    }

    #[test]
    fn a_condition_is_shared_by_threads_and_shows_its_text() {
        fn is_shared<T: Send + Sync>(_: &T) {}
        let condition = condition("payload.Yes");
        is_shared(&condition);
        is_shared(&facts());
        assert_eq!(condition.text(), "payload.Yes");
        assert_eq!(format!("{condition:?}"), r#"Condition("payload.Yes")"#);
    }
}
