//! Puts a check behind every operand of `~`, `+` and `*` in a template's source, and behind every value that is set.
//!
//! The template engine has no hook for these. The rewriting is lexical: an operand next to such an operator
//! is a literal, a name or a bracketed group followed by any number of `.name`, `[..]`, `(..)` and `|filter(..)`, and
//! a filter behind it binds tighter than any operator. What is not understood is left alone.

use std::ops::Range;

/// Name of the filter that charges an operand; no template can name it by accident.
pub(super) const FILTER: &str = "exo_charged_operand";
/// Name of the filter that charges a factor.
pub(super) const FACTOR: &str = "exo_charged_factor";
/// Name of the filter that looks at what a variable is set to.
pub(super) const SET: &str = "exo_checked_value";
/// The same for what belongs to a namespace.
pub(super) const SET_IN: &str = "exo_checked_member";

/// Rewrites `source`; fails on a tag that never ends, and on `**`: what it makes is known to no operand.
pub(crate) fn bound_operands(source: &str) -> Result<String, String> {
    let mut output = String::with_capacity(source.len() * 2);
    let mut rest = source;
    while let Some(start) = next_tag(rest) {
        output.push_str(&rest[..start]);
        rest = &rest[start..];
        let length = if rest.starts_with("{#") {
            rest.find("#}").map(|end| end + 2)
        } else if is_raw_block(rest) {
            find_end_of_raw(rest)
        } else {
            tag_length(rest)
        };
        let length =
            length.ok_or_else(|| format!("a tag never ends: {}", rest.chars().take(40).collect::<String>()))?;
        let tag = &rest[..length];
        if rest.starts_with("{#") || is_raw_block(rest) {
            output.push_str(tag);
        } else {
            rewrite_tag(tag, &mut output)?;
        }
        rest = &rest[length..];
    }
    output.push_str(rest);
    Ok(output)
}

fn next_tag(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|pair| matches!(pair, b"{{" | b"{%" | b"{#"))
}

fn is_raw_block(text: &str) -> bool {
    let inner = text.strip_prefix("{%").unwrap_or("").trim_start_matches(['-', '+']).trim_start();
    inner.strip_prefix("raw").is_some_and(|after| after.trim_start_matches(['-', '+', ' ']).starts_with("%}"))
}

fn find_end_of_raw(text: &str) -> Option<usize> {
    let end = text.find("endraw")?;
    Some(end + text[end..].find("%}")? + 2)
}

/// Length of the tag that `text` starts with; ends inside of strings and brackets do not count.
fn tag_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let end = if bytes[1] == b'{' { b"}}" } else { b"%}" };
    let (mut index, mut depth) = (2, 0usize);
    while index < bytes.len() {
        match bytes[index] {
            b'\'' | b'"' => index = string_end(bytes, index)?,
            _ if depth == 0 && bytes[index..].starts_with(end) => return Some(index + 2),
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        index += 1;
    }
    None
}

/// Position of the closing quote.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut index = start + 1;
    while index < bytes.len() {
        match bytes[index] {
            b'\\' => index += 1,
            byte if byte == bytes[start] => return Some(index),
            _ => {}
        }
        index += 1;
    }
    None
}

/// One lexical element of an expression.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Piece {
    /// A literal or a name.
    Atom,
    Open,
    Close,
    Dot,
    Pipe,
    /// `~` or `+`.
    Growing,
    /// `*`.
    Times,
    Other,
    Space,
}

fn rewrite_tag(tag: &str, output: &mut String) -> Result<(), String> {
    let pieces = pieces(tag);
    if pieces.iter().enumerate().any(|(index, piece)| piece.1 == "**" && has_operand_before(&pieces, index)) {
        return Err("the operator ** is not supported".to_owned());
    }
    let closes = closes(&pieces);
    let operands = operand_ends(&pieces, &closes, tag, Piece::Growing);
    let factors = operand_ends(&pieces, &closes, tag, Piece::Times);
    let set = set_value(&pieces, &closes, tag);
    for (index, &(_, text)) in pieces.iter().enumerate() {
        if let Some((_, filter)) = set.as_ref().filter(|(value, _)| value.end == index) {
            output.extend([")|", filter, " "]);
        }
        output.push_str(text);
        for filter in [(&operands, FILTER), (&factors, FACTOR)].iter().filter(|(marks, _)| marks[index]) {
            output.extend(["|", filter.1]);
        }
        if set.as_ref().is_some_and(|(value, _)| value.start == index + 1) {
            output.push('(');
        }
    }
    Ok(())
}

/// Whether an operator stands between two operands, and not before its only one.
fn has_operand_before(pieces: &[(Piece, &str)], index: usize) -> bool {
    let before = pieces[..index].iter().rfind(|(kind, _)| *kind != Piece::Space);
    before.is_some_and(|(kind, _)| matches!(kind, Piece::Atom | Piece::Close))
}

/// The pieces of the value in `{% set NAME = VALUE %}`, and the filter that it has to pass. None for anything else, and
/// where brackets do not match: that is no template.
fn set_value(pieces: &[(Piece, &str)], closes: &[Option<usize>], tag: &str) -> Option<(Range<usize>, &'static str)> {
    let inner = tag.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start();
    if !inner.strip_prefix("set").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_whitespace())) {
        return None;
    }
    let mut start = 0;
    while pieces.get(start)?.1 != "=" {
        // The first bracket is that of the tag itself.
        start = closes[start].filter(|_| start > 0).unwrap_or(start) + 1;
    }
    let steers_whitespace = matches!(pieces.get(pieces.len().checked_sub(3)?)?.1, "-" | "+");
    let value = start + 1..pieces.len() - if steers_whitespace { 3 } else { 2 };
    let inside = pieces.get(value.clone())?;
    let opens = (0..inside.len()).filter(|at| inside[*at].0 == Piece::Open);
    let mut ends = opens.map(|at| closes[value.start + at]);
    let closed = inside.iter().filter(|(kind, _)| *kind == Piece::Close).count();
    let is_whole = ends.all(|end| end.is_some_and(|end| end < value.end))
        && closed == inside.iter().filter(|(kind, _)| *kind == Piece::Open).count()
        && inside.iter().any(|(kind, _)| *kind != Piece::Space);
    let is_member = pieces[..start].iter().any(|(kind, _)| *kind == Piece::Dot);
    is_whole.then_some((value, if is_member { SET_IN } else { SET }))
}

fn pieces(tag: &str) -> Vec<(Piece, &str)> {
    let bytes = tag.as_bytes();
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let (kind, end) = match bytes[start] {
            b'\'' | b'"' => (Piece::Atom, string_end(bytes, start).map_or(bytes.len(), |end| end + 1)),
            byte if is_name(byte) => (Piece::Atom, start + bytes[start..].iter().take_while(|b| is_name(**b)).count()),
            b'(' | b'[' | b'{' => (Piece::Open, start + 1),
            b')' | b']' | b'}' => (Piece::Close, start + 1),
            b'.' => (Piece::Dot, start + 1),
            b'|' => (Piece::Pipe, start + 1),
            b'~' | b'+' => (Piece::Growing, start + 1),
            b'*' if bytes.get(start + 1) == Some(&b'*') => (Piece::Other, start + 2),
            b'*' => (Piece::Times, start + 1),
            byte if byte.is_ascii_whitespace() => (Piece::Space, start + 1),
            _ => (Piece::Other, start + 1),
        };
        pieces.push((kind, &tag[start..end]));
        start = end;
    }
    pieces
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Marks the last piece of every operand of operators of a kind.
fn operand_ends(pieces: &[(Piece, &str)], closes: &[Option<usize>], tag: &str, operator: Piece) -> Vec<bool> {
    let mut marks = vec![false; pieces.len()];
    for (index, &(kind, text)) in pieces.iter().enumerate() {
        // `{%+` and `+%}` steer whitespace.
        let steers_whitespace = text == "+" && (index <= 2 || index + 3 >= pieces.len()) && tag.starts_with("{%");
        if kind != operator || steers_whitespace {
            continue;
        }
        let before = pieces[..index].iter().rposition(|(kind, _)| *kind != Piece::Space);
        if let Some(before) = before.filter(|&at| matches!(pieces[at].0, Piece::Atom | Piece::Close)) {
            marks[before] = true;
        }
        if let Some(end) = operand_end(pieces, closes, index + 1) {
            marks[end] = true;
        }
    }
    marks
}

/// Last piece of the operand that starts at or after `start`.
fn operand_end(pieces: &[(Piece, &str)], closes: &[Option<usize>], start: usize) -> Option<usize> {
    let mut end = None;
    let mut index = start;
    loop {
        index += pieces[index..].iter().take_while(|(kind, _)| *kind == Piece::Space).count();
        let (kind, text) = *pieces.get(index)?;
        match (kind, end) {
            (Piece::Open, None) => end = Some(closes[index]?),
            (Piece::Open, Some(_)) if text != "{" => end = Some(closes[index]?),
            (Piece::Atom, None) => end = Some(index),
            (Piece::Dot | Piece::Pipe, Some(_)) => {
                let name = index + 1 + pieces[index + 1..].iter().take_while(|(kind, _)| *kind == Piece::Space).count();
                end = Some(name).filter(|&name| pieces.get(name).is_some_and(|(kind, _)| *kind == Piece::Atom));
                end?;
            }
            (Piece::Other | Piece::Growing, None) if matches!(text, "-" | "+") => {
                index += 1;
                continue;
            }
            _ => return end,
        }
        index = end? + 1;
    }
}

/// Where each bracket closes: found in one pass, whatever is nested in what.
fn closes(pieces: &[(Piece, &str)]) -> Vec<Option<usize>> {
    let (mut closes, mut open) = (vec![None; pieces.len()], Vec::new());
    for (index, (kind, _)) in pieces.iter().enumerate() {
        match kind {
            Piece::Open => open.push(index),
            Piece::Close => {
                if let Some(begin) = open.pop() {
                    closes[begin] = Some(index);
                }
            }
            _ => {}
        }
    }
    closes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_of_growing_operators_are_checked_and_nothing_else() {
        let check = |source: &str, expect: &str| {
            let expect = expect.replace('#', &format!("|{FILTER}")).replace('@', &format!("|{FACTOR}"));
            let expect = expect.replace('§', &format!(")|{SET_IN} ")).replace('$', &format!(")|{SET} "));
            assert_eq!(bound_operands(source).expect("whole tags"), expect);
        };
        check("a ~ b {{ a }} c + d", "a ~ b {{ a }} c + d");
        check("{{ a ~ b }}", "{{ a# ~ b# }}");
        check("{{ a.b['x'] + f(c + d) }}", "{{ a.b['x']# + f(c# + d#)# }}");
        check("{{ '~' + \"}}\" ~ (x)|trim }}", "{{ '~'# + \"}}\"# ~ (x)|trim# }}");
        check("{%- set n.x = n.x ~ n.x | upper -%}", "{%- set n.x =( n.x# ~ n.x | upper# §-%}");
        check("{% set (a, b) = f(x == 1), 2 %}", "{% set (a, b) =( f(x == 1), 2 $%}");
        check("{% set a %}{% set b = %}{% set c = a) %}", "{% set a %}{% set b = %}{% set c = a) %}");
        check("{{ f(*x, **y) * 'a' * -(+b) * +c }}", "{{ f(*x@, **y)@ * 'a'@ * -(+b#)@ * +c#@ }}");
        check("{% if loop.index0 + 1 == 2 %}", "{% if loop.index0# + 1# == 2 %}");
        check("{%+ if a %}{% endif +%}", "{%+ if a %}{% endif +%}");
        check("{{ x[a:b] + [1, 2] + {'a': b + c} }}", "{{ x[a:b]# + [1, 2]# + {'a': b# + c#}# }}");
        check("{% raw %}{{ a ~ b }}{% endraw %}", "{% raw %}{{ a ~ b }}{% endraw %}");
    }

    #[test]
    fn brackets_in_brackets_are_looked_at_once() {
        let nested = format!("{{{{ {}{} }}}}", "a+(".repeat(100_000), ")".repeat(100_000));
        assert_eq!(bound_operands(&nested).expect("whole tags").matches(FILTER).count(), 200_000);
    }

    #[test]
    fn a_tag_without_end_and_powers_are_refused() {
        for source in [
            "{{ a",
            "{% if 'x %}",
            "{{ (a }}",
            "{% set c = a) or (b %}",
            "{# never",
            "{% raw %}{{ x",
            "{{ 'x' * 9 ** 9 }}",
        ] {
            bound_operands(source).expect_err(source);
        }
    }
}
