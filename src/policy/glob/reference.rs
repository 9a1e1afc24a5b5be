//! A second matcher for tests, written independently of the first: it expands braces, splits text and pattern at
//! slashes, and tries all possibilities. It takes exponential time, so it is for short texts only.
#![allow(clippy::unwrap_used, reason = "a valid pattern has the closing brackets that are searched for")]

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Char(char),
    Question,
    Star,
    DoubleStar,
    Class(String),
}

/// Whether a pattern matches. The pattern must be valid.
pub(in crate::policy) fn matches(pattern: &str, text: &str) -> bool {
    let chars: Vec<char> = pattern.chars().collect();
    let text: Vec<Vec<char>> = text.split('/').map(|segment| segment.chars().collect()).collect();
    expand_braces(&chars).iter().any(|tokens| {
        let segments: Vec<&[Token]> = tokens.split(|token| *token == Token::Char('/')).collect();
        segments_match(&segments, &text)
    })
}

/// Expands the braces of a pattern into all patterns without braces.
fn expand_braces(pattern: &[char]) -> Vec<Vec<Token>> {
    let Some((first, rest)) = pattern.split_first() else { return vec![vec![]] };
    let (heads, tail): (Vec<Vec<Token>>, &[char]) = match first {
        '{' => {
            let (alternatives, tail) = split_alternatives(rest);
            (alternatives.iter().flat_map(|alternative| expand_braces(alternative)).collect(), tail)
        }
        '[' => {
            let end = class_end(rest);
            (vec![vec![Token::Class(rest[..end].iter().collect())]], &rest[end + 1..])
        }
        '*' if rest.first() == Some(&'*') => (vec![vec![Token::DoubleStar]], &rest[1..]),
        '*' => (vec![vec![Token::Star]], rest),
        '?' => (vec![vec![Token::Question]], rest),
        c => (vec![vec![Token::Char(*c)]], rest),
    };
    let tails = expand_braces(tail);
    heads.iter().flat_map(|head| tails.iter().map(|tail| [head.clone(), tail.clone()].concat())).collect()
}

/// Splits the text after `{` into the alternatives and the text after `}`.
fn split_alternatives(rest: &[char]) -> (Vec<Vec<char>>, &[char]) {
    let mut found = vec![vec![]];
    let mut index = 0;
    loop {
        match rest[index] {
            '}' => return (found, &rest[index + 1..]),
            ',' => found.push(vec![]),
            '[' => {
                let end = index + 1 + class_end(&rest[index + 1..]);
                found.last_mut().unwrap().extend(&rest[index..=end]);
                index = end;
            }
            c => found.last_mut().unwrap().push(c),
        }
        index += 1;
    }
}

fn class_end(rest: &[char]) -> usize {
    rest.iter().position(|c| *c == ']').unwrap()
}

fn segments_match(pattern: &[&[Token]], text: &[Vec<char>]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    if *first == [Token::DoubleStar] {
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
            let matches = match token {
                Token::Char(wanted) => c == wanted,
                Token::Class(class) => class_matches(class, *c),
                _ => true,
            };
            matches && segment_matches(rest, others)
        }),
    }
}

fn class_matches(class: &str, c: char) -> bool {
    let (negated, members) = class.strip_prefix('!').map_or((false, class), |members| (true, members));
    let members: Vec<char> = members.chars().collect();
    let mut inside = false;
    let mut index = 0;
    while index < members.len() {
        if index + 2 < members.len() && members[index + 1] == '-' {
            inside |= members[index] <= c && c <= members[index + 2];
            index += 3;
        } else {
            inside |= members[index] == c;
            index += 1;
        }
    }
    inside != negated
}
