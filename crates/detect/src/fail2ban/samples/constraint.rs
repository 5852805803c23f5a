//! Conditions on options, as samples carry them: `opts.get('mode') != 'aggressive'`.
//!
//! The part of Python's expressions that such conditions are written in: comparisons, `in`, `and`,
//! `or`, `not`, texts, `name`, `opts.get('x')` and `opts['x']`.

use serde_json::{Map, Value};

const DEPTH_MAX: usize = 30;

/// Whether `text` is true of the filter's name and options.
pub(super) fn holds(text: &str, name: &str, options: &Map<String, Value>) -> Result<bool, String> {
    let mut reader = Reader {
        rest: text.trim(),
        name,
        options,
        depth: 0,
    };
    let value = reader.either();
    match value {
        Some(value) if reader.rest.trim().is_empty() => Ok(truth(&value)),
        _ => Err(format!(
            "the condition cannot be read near `{}`",
            reader.rest
        )),
    }
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
    }
}

struct Reader<'a> {
    rest: &'a str,
    name: &'a str,
    options: &'a Map<String, Value>,
    depth: usize,
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let text = self.rest.trim_start();
        let Some(rest) = text.strip_prefix(token) else {
            return false;
        };
        let is_word = token.ends_with(|c: char| c.is_ascii_alphabetic());
        if is_word && rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return false;
        }
        self.rest = rest;
        true
    }

    fn either(&mut self) -> Option<Value> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        let mut value = self.both()?;
        while self.eat("or") {
            let other = self.both()?;
            if !truth(&value) {
                value = other;
            }
        }
        self.depth -= 1;
        Some(value)
    }

    fn both(&mut self) -> Option<Value> {
        let mut value = self.negated()?;
        while self.eat("and") {
            let other = self.negated()?;
            if truth(&value) {
                value = other;
            }
        }
        Some(value)
    }

    fn negated(&mut self) -> Option<Value> {
        let mut turned = false;
        while self.eat("not") {
            turned = !turned;
        }
        let value = self.comparison()?;
        Some(if turned {
            Value::Bool(!truth(&value))
        } else {
            value
        })
    }

    fn comparison(&mut self) -> Option<Value> {
        let left = self.operand()?;
        let has = |all: &Value, one: &Value| match (all, one) {
            (Value::Array(list), one) => list.contains(one),
            (Value::String(all), Value::String(one)) => all.contains(one.as_str()),
            (Value::Object(map), Value::String(one)) => map.contains_key(one),
            _ => false,
        };
        let answer = if self.eat("==") {
            left == self.operand()?
        } else if self.eat("!=") {
            left != self.operand()?
        } else if self.eat("in") {
            has(&self.operand()?, &left)
        } else if self.eat("not") {
            if !self.eat("in") {
                return None;
            }
            !has(&self.operand()?, &left)
        } else if self.eat("is") {
            let turned = self.eat("not");
            (left == self.operand()?) != turned
        } else {
            return Some(left);
        };
        Some(Value::Bool(answer))
    }

    fn operand(&mut self) -> Option<Value> {
        if self.eat("(") {
            return self.list(")");
        }
        if self.eat("[") {
            return match self.list("]")? {
                list @ Value::Array(_) => Some(list),
                one => Some(Value::Array(vec![one])),
            };
        }
        if self.eat("opts.get(") {
            let value = self.list(")")?;
            let (key, otherwise) = match value {
                Value::Array(mut both) if both.len() == 2 => {
                    let otherwise = both.pop()?;
                    (both.pop()?, otherwise)
                }
                key => (key, Value::Null),
            };
            return Some(
                self.options
                    .get(key.as_str()?)
                    .cloned()
                    .unwrap_or(otherwise),
            );
        }
        if self.eat("opts[") {
            let key = self.list("]")?;
            return self.options.get(key.as_str()?).cloned();
        }
        if self.eat("opts") {
            return Some(Value::Object(self.options.clone()));
        }
        for (word, value) in [
            ("name", Value::String(self.name.to_owned())),
            ("None", Value::Null),
            ("True", Value::Bool(true)),
            ("False", Value::Bool(false)),
        ] {
            if self.eat(word) {
                return Some(value);
            }
        }
        let text = self.rest.trim_start();
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (inside, rest) = text.get(1..)?.split_once(quote)?;
        self.rest = rest;
        Some(Value::String(inside.to_owned()))
    }

    /// What stands before `end`: one value, or several with commas between.
    fn list(&mut self, end: &str) -> Option<Value> {
        let mut values = Vec::new();
        let mut several = false;
        while !self.eat(end) {
            values.push(self.either()?);
            if self.eat(",") {
                several = true;
            } else if !self.eat(end) {
                return None;
            } else {
                break;
            }
        }
        if several || values.is_empty() {
            return Some(Value::Array(values));
        }
        values.pop()
    }
}
