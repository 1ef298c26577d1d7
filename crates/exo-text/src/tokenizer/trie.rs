//! Texts by their beginnings.

/// Finds which of many texts a text starts with; a look-up costs at most the longest of them.
#[derive(Debug)]
pub(super) struct Trie<T> {
    nodes: Vec<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    /// Sorted by byte.
    children: Vec<(u8, u32)>,
    value: Option<T>,
}

impl<T> Node<T> {
    fn new() -> Self {
        Self { children: Vec::new(), value: None }
    }
}

impl<T: Copy> Trie<T> {
    /// Of no text.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::new()] }
    }

    /// Adds a text; of equal ones the first stays.
    pub(super) fn insert(&mut self, text: &[u8], value: T) {
        let mut node = 0;
        for &byte in text {
            node = match self.nodes[node].children.binary_search_by_key(&byte, |child| child.0) {
                Ok(found) => self.nodes[node].children[found].1 as usize,
                Err(place) => {
                    let new = self.nodes.len();
                    self.nodes.push(Node::new());
                    self.nodes[node].children.insert(place, (byte, new as u32));
                    new
                }
            };
        }
        self.nodes[node].value.get_or_insert(value);
    }

    /// Lengths and values of the texts that `text` starts with, the shortest first.
    pub(super) fn beginnings<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (usize, T)> + 'a {
        let (mut node, mut length) = (0, 0);
        std::iter::from_fn(move || {
            loop {
                let children = &self.nodes[node].children;
                let found = children.binary_search_by_key(text.get(length)?, |child| child.0).ok()?;
                (node, length) = (children[found].1 as usize, length + 1);
                if let Some(value) = self.nodes[node].value {
                    return Some((length, value));
                }
            }
        })
    }
}
