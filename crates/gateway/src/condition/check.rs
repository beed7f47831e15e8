//! Reading a condition, and everything about it that can be known before there is a callback.

use std::time::UNIX_EPOCH;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::parser::{Expression, ParseErrors};
use cel::{ExecutionError, Value};
use regex::Regex;

use super::facts::{DOCUMENTED, Facts, HIDDEN};
use super::{ConditionError, LANGUAGE, Pattern, Scope, explain};
use crate::config::nearest;

/// How deep the tree of a condition may be: the interpreter recurses over it, on the thread that has the callback.
const MAX_DEPTH: usize = 24;

/// How often comprehensions over literals may run, one within the other.
const MAX_ROUNDS: usize = 16;

/// Operators that look at both sides no further than the shorter one goes.
const COMPARISONS: [&str; 6] = [
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
];

const TOO_DEEP: &str = "nested too deeply";

/// How the messages of the grammar begin; those of other parts of the parser do not.
const OF_GRAMMAR: &str = "Syntax error: ";

/// Reads and checks a condition.
pub(super) fn read(text: &str) -> Result<(Expression, Vec<Pattern>), ConditionError> {
    let parsed = LANGUAGE.parser().parse_with_source_info(text);
    let (mut expression, source) = parsed.map_err(syntax_error)?;
    let mut check = Check {
        text,
        source: &source,
        bound: Vec::new(),
        level: 0,
        rounds: 1,
        takes_no_time: false,
        patterns: Vec::new(),
    };
    check.expression(&mut expression, 0)?;
    if is_never_bool(&expression) {
        return check.error(expression.id, "is never true or false");
    }
    Ok((expression, check.patterns))
}

/// Whether the value of an expression is never true or false. Of others that is known when they are evaluated.
fn is_never_bool(expression: &Expression) -> bool {
    const OTHERS: [&str; 15] = [
        operators::ADD,
        operators::SUBSTRACT,
        operators::MULTIPLY,
        operators::DIVIDE,
        operators::MODULO,
        operators::NEGATE,
        "size",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "timestamp",
        "duration",
        "type",
    ];
    match &expression.expr {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
        Expr::Ident(_) | Expr::List(_) | Expr::Map(_) => true,
        // `map` and `filter`.
        Expr::Comprehension(comprehension) => matches!(comprehension.accu_init.expr, Expr::List(_)),
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => call.args.iter().skip(1).all(is_never_bool),
        Expr::Call(call) => OTHERS.contains(&call.func_name.as_str()) || call.func_name.starts_with("get"),
        Expr::Select(_) | Expr::Struct(_) | Expr::Unspecified => false,
    }
}

/// What is wrong with the syntax: the first that the grammar has to say.
fn syntax_error(ParseErrors { errors }: ParseErrors) -> ConditionError {
    let of_grammar = errors.iter().find(|error| error.msg.starts_with(OF_GRAMMAR));
    let Some(error) = of_grammar.or(errors.first()) else {
        return ConditionError::new((1, 1), "cannot be read".to_owned());
    };
    let from_one = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
    ConditionError::new((from_one(error.pos.0), from_one(error.pos.1)), reworded(&error.msg))
}

/// A message of the parser, which speaks of its tokens, in words for people.
fn reworded(message: &str) -> String {
    let message = message.strip_prefix(OF_GRAMMAR).unwrap_or(message);
    if message.contains("Recursion limit") {
        return TOO_DEEP.to_owned();
    }
    let before_expected = message.split(" expecting ").next().unwrap_or(message);
    let quoted = before_expected.split_once(" at: ").or(before_expected.split_once("input "));
    let Some((_, quoted)) = quoted else { return message.replace("'<EOF>'", "the end") };
    let token = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(quoted);
    match token.trim() {
        "<EOF>" => "unexpected end".to_owned(),
        token @ ("=" | "&" | "|") => format!("unexpected `{token}`; did you mean `{token}{token}`?"),
        token if token.starts_with(['"', '\'']) => "a text without end, or with an escape that is none".to_owned(),
        token => format!("unexpected `{token}`"),
    }
}

struct Check<'a> {
    text: &'a str,
    source: &'a SourceInfo,
    /// The variables of the comprehensions around.
    bound: Vec<Bound>,
    /// How many comprehensions over data are around.
    level: usize,
    /// How often the comprehensions over literals around run together.
    rounds: usize,
    /// Whether it is looked at a path that is not walked.
    takes_no_time: bool,
    patterns: Vec<Pattern>,
}

/// A variable of a comprehension.
struct Bound {
    name: String,
    /// The level of a comprehension over data; none of one over literals.
    level: Option<usize>,
}

impl Check<'_> {
    fn expression(&mut self, expression: &mut Expression, depth: usize) -> Result<(), ConditionError> {
        if depth > MAX_DEPTH {
            return self.error(expression.id, TOO_DEEP);
        }
        let (id, depth) = (expression.id, depth + 1);
        match &mut expression.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(id, name),
            Expr::Select(select) if select.test && self.reaches_outside(&select.operand) => {
                self.outside(&mut select.operand, depth)
            }
            Expr::Select(select) => {
                if matches!(&select.operand.expr, Expr::Ident(name) if name == "query") {
                    self.parameter(select.operand.id, &select.field)?;
                }
                self.expression(&mut select.operand, depth)
            }
            Expr::Call(call) if call.func_name == "matches" => {
                let searched = self.pattern(id, call)?;
                self.expression(searched, depth)
            }
            Expr::Call(call) if COMPARISONS.contains(&call.func_name.as_str()) => {
                if let [one, other] = call.args.as_mut_slice()
                    && self.is_outside(one) != self.is_outside(other)
                {
                    let (outside, inside) = if self.is_outside(one) { (one, other) } else { (other, one) };
                    self.outside(outside, depth)?;
                    return self.expression(inside, depth);
                }
                call.args.iter_mut().try_for_each(|argument| self.expression(argument, depth))?;
                self.constant(expression)
            }
            Expr::Call(call) => {
                self.function(id, call)?;
                for argument in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
                    self.expression(argument, depth)?;
                }
                self.constant(expression)
            }
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| self.expression(element, depth)),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&mut entry.key, depth)?;
                    self.expression(&mut entry.value, depth)
                }
                EntryExpr::StructField(_) => self.error(entry.id, "cannot be read"),
            }),
            Expr::Comprehension(comprehension) => self.comprehension(id, comprehension, depth),
            Expr::Struct(_) => self.error(id, "there are no messages to make"),
            Expr::Unspecified => self.error(id, "cannot be read"),
        }
    }

    fn variable(&self, id: u64, name: &str) -> Result<(), ConditionError> {
        let is_known = Scope::VARIABLES.contains(&name)
            || self.bound.iter().any(|bound| bound.name == name)
            || LANGUAGE.types().find_type(name).is_some();
        if is_known && self.is_of_outside(name) && !self.takes_no_time {
            let problem =
                "would be walked for each element: inside of a macro it can be compared, or asked for by `has`";
            return self.error(id, format!("`{name}` {problem}"));
        }
        if is_known {
            return Ok(());
        }
        let hint = match nearest(name, Scope::VARIABLES) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("there are {}", Scope::VARIABLES.join(", ")),
        };
        self.error(id, format!("unknown variable `{name}`; {hint}"))
    }

    /// Whether a name stands for data that is not the innermost comprehension's own. What walks over it there would take
    /// the product of both in time, and has to be bound by the body alone.
    fn is_of_outside(&self, name: &str) -> bool {
        match self.bound.iter().rfind(|bound| bound.name == name) {
            Some(bound) => bound.level.is_some_and(|level| level != self.level),
            None => self.level > 0 && ["payload", "query"].contains(&name),
        }
    }

    /// Whether an expression is a path into data from outside of the innermost comprehension.
    fn reaches_outside(&self, path: &Expression) -> bool {
        match &path.expr {
            Expr::Ident(name) => self.is_of_outside(name),
            Expr::Select(select) => !select.test && self.reaches_outside(&select.operand),
            Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
                [operand, index] => matches!(index.expr, Expr::Literal(_)) && self.reaches_outside(operand),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether it is such a path to a value; the whole of the payload or the query is none.
    fn is_outside(&self, path: &Expression) -> bool {
        let is_whole = matches!(&path.expr, Expr::Ident(name) if Scope::VARIABLES.contains(&name.as_str()));
        !is_whole && self.reaches_outside(path)
    }

    /// A path into data from outside, where it takes no time: an end of it is looked at no further than what it is
    /// compared with.
    fn outside(&mut self, path: &mut Expression, depth: usize) -> Result<(), ConditionError> {
        let was = std::mem::replace(&mut self.takes_no_time, true);
        let checked = self.expression(path, depth);
        self.takes_no_time = was;
        checked
    }

    /// A parameter of the query. Any may come, but those of the documentation have one spelling here.
    fn parameter(&self, id: u64, name: &str) -> Result<(), ConditionError> {
        let same = |known: &&&str| known.eq_ignore_ascii_case(name);
        match (DOCUMENTED.iter().find(same), HIDDEN.iter().find(same)) {
            (Some(known), _) if *known != name => self.error(id, format!("`{name}` is spelt `{known}` here")),
            (_, Some(hidden)) => self.error(id, format!("conditions cannot see `{hidden}`")),
            _ => Ok(()),
        }
    }

    fn function(&self, id: u64, call: &CallExpr) -> Result<(), ConditionError> {
        let name = call.func_name.as_str();
        let is_operator = name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
        if is_operator || is_declared(name, call.target.is_some()) {
            return Ok(());
        }
        // The place of a call is its parenthesis.
        let before = self.text.get(..self.offset(id)).unwrap_or_default();
        self.error_at(before.rfind(name).unwrap_or(before.len()), format!("unknown function `{name}`"))
    }

    /// `text.matches("a|b")`, or `matches(text, "a|b")`: becomes a look-up in the compiled pattern. Gives the text.
    fn pattern<'e>(&mut self, id: u64, call: &'e mut CallExpr) -> Result<&'e mut Expression, ConditionError> {
        let CallExpr { func_name, target, args } = call;
        args.splice(..0, target.take().map(|target| *target));
        let [searched, pattern] = args.as_mut_slice() else {
            return self.error(id, "`matches` takes a text and a pattern");
        };
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return self.error(pattern.id, "the pattern of `matches` has to be a literal");
        };
        let regex = match Regex::new(literal.inner()) {
            Ok(regex) => regex,
            Err(error) => {
                // Several lines that draw the place; the last says what is wrong.
                let problem = error.to_string();
                let problem = problem.lines().last().unwrap_or_default().trim_start_matches("error: ");
                return self.error(pattern.id, format!("no regular expression: {problem}"));
            }
        };
        pattern.expr = Expr::Ident(Pattern::variable(self.patterns.len()));
        self.patterns.push(Pattern(regex));
        operators::IN.clone_into(func_name);
        Ok(searched)
    }

    /// Tries a call of which everything is known, as `duration("5 h")` or `time.getHours("Asia/Shangai")`.
    fn constant(&self, expression: &Expression) -> Result<(), ConditionError> {
        let Expr::Call(call) = &expression.expr else { return Ok(()) };
        let is_known = |argument: &Expression| match &argument.expr {
            Expr::Literal(_) => true,
            Expr::Ident(name) => name == "time",
            _ => false,
        };
        if !call.target.as_deref().into_iter().chain(&call.args).all(is_known) {
            return Ok(());
        }
        attempt(expression).or_else(|error| self.error(expression.id, explain(&error)))
    }

    /// `list.exists(item, ..)` and the like, as their macros made them.
    fn comprehension(
        &mut self,
        id: u64,
        comprehension: &mut ComprehensionExpr,
        depth: usize,
    ) -> Result<(), ConditionError> {
        let ComprehensionExpr { iter_range, iter_var, iter_var2, accu_var, accu_init, loop_cond, loop_step, result } =
            comprehension;
        if Scope::VARIABLES.contains(&iter_var.as_str()) {
            return self.error(id, format!("`{iter_var}` has a meaning already"));
        }
        self.expression(iter_range, depth)?;
        self.expression(accu_init, depth)?;
        let (outside, level, rounds) = (self.bound.len(), self.level, self.rounds);
        let mut of_variable = None;
        match literals(iter_range) {
            Some(literals) => self.rounds = rounds.saturating_mul(literals.max(1)),
            None => {
                self.level += 1;
                of_variable = Some(self.level);
            }
        }
        if self.rounds > MAX_ROUNDS {
            return self.error(id, format!("macros over literals run more than {MAX_ROUNDS} times here"));
        }
        for name in [&*iter_var].into_iter().chain(&*iter_var2) {
            self.bound.push(Bound { name: name.clone(), level: of_variable });
        }
        self.bound.push(Bound { name: accu_var.clone(), level: Some(self.level) });
        for inner in [loop_cond, loop_step, result] {
            self.expression(inner, depth)?;
        }
        self.bound.truncate(outside);
        (self.level, self.rounds) = (level, rounds);
        Ok(())
    }

    /// Where a part of the tree comes from, in bytes.
    fn offset(&self, id: u64) -> usize {
        self.source.offset_for(id).map_or(0, |(start, _)| start as usize)
    }

    fn error<T>(&self, id: u64, problem: impl Into<String>) -> Result<T, ConditionError> {
        self.error_at(self.offset(id), problem)
    }

    fn error_at<T>(&self, offset: usize, problem: impl Into<String>) -> Result<T, ConditionError> {
        let before = self.text.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let position = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
        Err(ConditionError::new(position, problem.into()))
    }
}

/// How many literals a range has, if it has nothing else.
fn literals(range: &Expression) -> Option<usize> {
    match &range.expr {
        Expr::List(list) => {
            list.elements.iter().all(|it| matches!(it.expr, Expr::Literal(_))).then_some(list.elements.len())
        }
        _ => None,
    }
}

/// Whether there is a function. The library does not list them, but knows when it is asked for one that it has not.
fn is_declared(name: &str, is_member: bool) -> bool {
    let null = || Box::new(Expression { id: 0, expr: Expr::Literal(LiteralValue::Null) });
    let call = CallExpr { func_name: name.to_owned(), target: is_member.then(null), args: Vec::new() };
    let result = attempt(&Expression { id: 0, expr: Expr::Call(call) });
    !matches!(result, Err(ExecutionError::UndeclaredReference(_)))
}

/// Evaluates what needs no callback.
fn attempt(expression: &Expression) -> Result<(), ExecutionError> {
    let facts = Facts::new("", b"", UNIX_EPOCH);
    let scope = Scope { facts: &facts, patterns: &[] };
    Value::resolve_val(expression, &scope.context()).map(drop)
}
