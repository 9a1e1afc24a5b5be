//! A second matcher, written independently of the first and as simply as the language is documented: it expands
//! braces, splits text and pattern at slashes, and tries all possibilities. Exponential time; for short texts
//! only.
#![allow(clippy::unwrap_used, reason = "what it is given is a pattern, and so has the brackets it looks for")]

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Char(char),
    Question,
    Star,
    Stars,
    Class(String),
}

/// Whether a valid pattern matches.
pub(in crate::policy) fn matches(pattern: &str, text: &str) -> bool {
    let chars: Vec<char> = pattern.chars().collect();
    let text: Vec<Vec<char>> = text.split('/').map(|segment| segment.chars().collect()).collect();
    multiply(&chars).iter().any(|tokens| {
        let segments: Vec<&[Token]> = tokens.split(|token| *token == Token::Char('/')).collect();
        segments_match(&segments, &text)
    })
}

/// The brace-free patterns that a pattern expands to.
fn multiply(pattern: &[char]) -> Vec<Vec<Token>> {
    let Some((first, rest)) = pattern.split_first() else { return vec![vec![]] };
    let (heads, tail): (Vec<Vec<Token>>, &[char]) = match first {
        '{' => {
            let (alternatives, tail) = alternatives(rest);
            (alternatives.iter().flat_map(|alternative| multiply(alternative)).collect(), tail)
        }
        '[' => {
            let end = class_end(rest);
            (vec![vec![Token::Class(rest[..end].iter().collect())]], &rest[end + 1..])
        }
        '*' if rest.first() == Some(&'*') => (vec![vec![Token::Stars]], &rest[1..]),
        '*' => (vec![vec![Token::Star]], rest),
        '?' => (vec![vec![Token::Question]], rest),
        c => (vec![vec![Token::Char(*c)]], rest),
    };
    let tails = multiply(tail);
    heads.iter().flat_map(|head| tails.iter().map(|tail| [head.clone(), tail.clone()].concat())).collect()
}

fn alternatives(rest: &[char]) -> (Vec<Vec<char>>, &[char]) {
    let mut found = vec![vec![]];
    let mut at = 0;
    loop {
        match rest[at] {
            '}' => return (found, &rest[at + 1..]),
            ',' => found.push(vec![]),
            '[' => {
                let end = at + 1 + class_end(&rest[at + 1..]);
                found.last_mut().unwrap().extend(&rest[at..=end]);
                at = end;
            }
            c => found.last_mut().unwrap().push(c),
        }
        at += 1;
    }
}

fn class_end(rest: &[char]) -> usize {
    rest.iter().position(|c| *c == ']').unwrap()
}

fn segments_match(pattern: &[&[Token]], text: &[Vec<char>]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    if *first == [Token::Stars] {
        // At the end `**` matches at least one segment; elsewhere it may match none.
        return if rest.is_empty() {
            !text.is_empty()
        } else {
            (0..=text.len()).any(|skipped| segments_match(rest, &text[skipped..]))
        };
    }
    text.split_first().is_some_and(|(segment, others)| segment_matches(first, segment) && segments_match(rest, others))
}

fn segment_matches(pattern: &[Token], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((Token::Star, rest)) => (0..=text.len()).any(|run| segment_matches(rest, &text[run..])),
        Some((token, rest)) => text.split_first().is_some_and(|(c, others)| {
            let fits = match token {
                Token::Char(wanted) => c == wanted,
                Token::Class(class) => class_matches(class, *c),
                _ => true,
            };
            fits && segment_matches(rest, others)
        }),
    }
}

fn class_matches(class: &str, c: char) -> bool {
    let (negated, members) = class.strip_prefix('!').map_or((false, class), |members| (true, members));
    let members: Vec<char> = members.chars().collect();
    let mut inside = false;
    let mut at = 0;
    while at < members.len() {
        if at + 2 < members.len() && members[at + 1] == '-' {
            inside |= members[at] <= c && c <= members[at + 2];
            at += 3;
        } else {
            inside |= members[at] == c;
            at += 1;
        }
    }
    inside != negated
}
