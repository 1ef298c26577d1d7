//! Puts a size check behind every operand of `~` and `+` in a template's source.
//!
//! The template engine has no hook for these operators. The rewriting is lexical: an operand next to such an operator
//! is a literal, a name or a bracketed group followed by any number of `.name`, `[..]`, `(..)` and `|filter(..)`, and
//! a filter behind it binds tighter than any operator. What is not understood is left alone.

/// Name of the filter that charges an operand; no template can name it by accident.
pub(super) const FILTER: &str = "exo_charged_operand";

/// Rewrites `source`; fails on a tag that never ends.
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
            rewrite_tag(tag, &mut output);
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
    Other,
    Space,
}

fn rewrite_tag(tag: &str, output: &mut String) {
    let pieces = pieces(tag);
    let checks = operand_ends(&pieces, tag);
    for (index, &(_, text)) in pieces.iter().enumerate() {
        output.push_str(text);
        if checks[index] {
            output.push('|');
            output.push_str(FILTER);
        }
    }
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

/// Marks the last piece of every operand of `~` and `+`.
fn operand_ends(pieces: &[(Piece, &str)], tag: &str) -> Vec<bool> {
    let mut marks = vec![false; pieces.len()];
    for (index, &(kind, text)) in pieces.iter().enumerate() {
        // `{%+` and `+%}` steer whitespace.
        let steers_whitespace = text == "+" && (index <= 2 || index + 3 >= pieces.len()) && tag.starts_with("{%");
        if kind != Piece::Growing || steers_whitespace {
            continue;
        }
        let before = pieces[..index].iter().rposition(|(kind, _)| *kind != Piece::Space);
        if let Some(before) = before.filter(|&at| matches!(pieces[at].0, Piece::Atom | Piece::Close)) {
            marks[before] = true;
        }
        if let Some(end) = operand_end(pieces, index + 1) {
            marks[end] = true;
        }
    }
    marks
}

/// Last piece of the operand that starts at or after `start`.
fn operand_end(pieces: &[(Piece, &str)], start: usize) -> Option<usize> {
    let mut end = None;
    let mut index = start;
    loop {
        index += pieces[index..].iter().take_while(|(kind, _)| *kind == Piece::Space).count();
        let (kind, text) = *pieces.get(index)?;
        match (kind, end) {
            (Piece::Open, None) => end = Some(matching_close(pieces, index)?),
            (Piece::Open, Some(_)) if text != "{" => end = Some(matching_close(pieces, index)?),
            (Piece::Atom, None) => end = Some(index),
            (Piece::Dot | Piece::Pipe, Some(_)) => {
                let name = index + 1 + pieces[index + 1..].iter().take_while(|(kind, _)| *kind == Piece::Space).count();
                end = Some(name).filter(|&name| pieces.get(name).is_some_and(|(kind, _)| *kind == Piece::Atom));
                end?;
            }
            (Piece::Other, None) if text == "-" => {
                index += 1;
                continue;
            }
            _ => return end,
        }
        index = end? + 1;
    }
}

fn matching_close(pieces: &[(Piece, &str)], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, (kind, _)) in pieces.iter().enumerate().skip(open) {
        match kind {
            Piece::Open => depth += 1,
            Piece::Close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_of_growing_operators_are_checked_and_nothing_else() {
        let check = |source: &str, expect: &str| {
            let expect = expect.replace('#', &format!("|{FILTER}"));
            assert_eq!(bound_operands(source).expect("whole tags"), expect);
        };
        check("a ~ b {{ a }} c + d", "a ~ b {{ a }} c + d");
        check("{{ a ~ b }}", "{{ a# ~ b# }}");
        check("{{ a.b['x'] + f(c + d) }}", "{{ a.b['x']# + f(c# + d#)# }}");
        check("{{ '~' + \"}}\" ~ (x)|trim }}", "{{ '~'# + \"}}\"# ~ (x)|trim# }}");
        check("{%- set n.x = n.x ~ n.x | upper -%}", "{%- set n.x = n.x# ~ n.x | upper# -%}");
        check("{% if loop.index0 + 1 == 2 %}", "{% if loop.index0# + 1# == 2 %}");
        check("{%+ if a %}{% endif +%}", "{%+ if a %}{% endif +%}");
        check("{{ x[a:b] + [1, 2] + {'a': b + c} }}", "{{ x[a:b]# + [1, 2]# + {'a': b# + c#}# }}");
        check("{% raw %}{{ a ~ b }}{% endraw %}", "{% raw %}{{ a ~ b }}{% endraw %}");
    }

    #[test]
    fn a_tag_without_end_is_refused() {
        for source in ["{{ a", "{% if 'x %}", "{{ (a }}", "{# never", "{% raw %}{{ x"] {
            bound_operands(source).expect_err(source);
        }
    }
}
