//! Blocks of a batch: the registrations under one key side by side, by sorting.

/// All blocks, and for each record the blocks it is in.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Where each block begins in `members`; one more at the end.
    starts: Vec<u32>,
    members: Vec<u32>,
    pub rules: Vec<u8>,
    /// By record: where its list in `of` begins; one more at the end.
    of_starts: Vec<u32>,
    /// Blocks of each record, in order.
    of: Vec<u32>,
    pub passed_over: Vec<usize>,
    pub pairs: u64,
}

impl Blocks {
    /// All pairs of a block that no earlier block has.
    pub(crate) fn visit(&self, block: usize, mut pair: impl FnMut(u32, u32)) {
        let members = &self.members[self.starts[block] as usize..self.starts[block + 1] as usize];
        for (i, a) in members.iter().enumerate() {
            for b in &members[i + 1..] {
                if self.first_shared(*a, *b) == block as u32 {
                    pair(*a, *b);
                }
            }
        }
    }

    fn of(&self, record: u32) -> &[u32] {
        &self.of[self.of_starts[record as usize] as usize..self.of_starts[record as usize + 1] as usize]
    }

    fn first_shared(&self, a: u32, b: u32) -> u32 {
        let (x, y) = (self.of(a), self.of(b));
        let (mut i, mut j) = (0, 0);
        while let (Some(p), Some(q)) = (x.get(i), y.get(j)) {
            match p.cmp(q) {
                std::cmp::Ordering::Less => i += 1,
                std::cmp::Ordering::Greater => j += 1,
                std::cmp::Ordering::Equal => return *p,
            }
        }
        u32::MAX
    }
}

/// Sorts keys into blocks; blocks of one record are dropped, too large ones counted and passed over.
pub(crate) fn blocks(mut entries: Vec<[u32; 3]>, caps: &[u32], records: usize, threads: usize) -> Blocks {
    sort(&mut entries, threads);
    let mut out = Blocks { passed_over: vec![0; caps.len()], starts: vec![0], ..Blocks::default() };
    let mut counts = vec![0_u32; records + 1];
    let mut at = 0;
    while at < entries.len() {
        let key = [entries[at][0], entries[at][1]];
        let size = entries[at..].iter().take_while(|e| e[0] == key[0] && e[1] == key[1]).count();
        let rule = (key[0] >> 24) as usize;
        if size > caps.get(rule).copied().unwrap_or(200) as usize {
            if let Some(passed) = out.passed_over.get_mut(rule) {
                *passed += 1;
            }
        } else if size > 1 {
            for entry in &entries[at..at + size] {
                out.members.push(entry[2]);
                counts[entry[2] as usize + 1] += 1;
            }
            out.starts.push(out.members.len() as u32);
            out.rules.push(rule as u8);
            out.pairs += (size * (size - 1) / 2) as u64;
        }
        at += size;
    }
    drop(entries);
    for at in 1..counts.len() {
        counts[at] += counts[at - 1];
    }
    let mut of = vec![0_u32; out.members.len()];
    let mut fill = counts.clone();
    for block in 0..out.rules.len() {
        for record in &out.members[out.starts[block] as usize..out.starts[block + 1] as usize] {
            let slot = &mut fill[*record as usize];
            of[*slot as usize] = block as u32;
            *slot += 1;
        }
    }
    out.of_starts = counts;
    out.of = of;
    out
}

/// Sorts on several threads: both halves by themselves, split at a key in the middle.
fn sort(entries: &mut [[u32; 3]], threads: usize) {
    if threads < 2 || entries.len() < 100_000 {
        entries.sort_unstable();
        return;
    }
    let middle = entries.len() / 2;
    let (left, _, right) = entries.select_nth_unstable(middle);
    std::thread::scope(|scope| {
        scope.spawn(|| sort(left, threads / 2));
        sort(right, threads - threads / 2);
    });
}
