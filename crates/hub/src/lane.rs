//! The way from a session to a shard.

use crate::group::Item;

/// What one shard has still to hear of, in order.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub seats: usize,
    pub items: Vec<Item>,
    pub audio: usize,
    /// The shard knows that something is here.
    pub is_listed: bool,
}

impl Lane {
    /// Adds an item; says how much audio had to go for it. A lane fills only while a delivery
    /// takes longer than all the frames in it lasted.
    pub fn push(&mut self, item: Item, max_audio: usize) -> u64 {
        let is_audio = matches!(item, Item::Audio(_));
        self.items.push(item);
        self.audio += usize::from(is_audio);
        if self.audio <= max_audio {
            return 0;
        }
        if let Some(oldest) = self.items.iter().position(|item| matches!(item, Item::Audio(_))) {
            self.items.remove(oldest);
            self.audio -= 1;
        }
        1
    }
}
