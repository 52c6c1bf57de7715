//! Which storage account to use first, as the official clients choose: by the share of uses that went well lately, and
//! at random among those about equally well.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use rand::seq::SliceRandom;

/// How many spans of how many seconds count, the newest the most.
const SPANS: u64 = 6;
const SPAN_SECONDS: u64 = 10;

/// The shares from which accounts count as equally well, in percent.
const TIERS: [u64; 4] = [90, 70, 30, 0];

pub(crate) struct Ranking {
    start: Instant,
    /// For each account and span: uses that went well, and uses.
    accounts: HashMap<String, VecDeque<(u64, u64, u64)>>,
}

impl Ranking {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), accounts: HashMap::new() }
    }

    fn span(&self) -> u64 {
        self.start.elapsed().as_secs() / SPAN_SECONDS
    }

    pub(crate) fn note(&mut self, account: &str, well: bool) {
        let span = self.span();
        let spans = self.accounts.entry(account.to_owned()).or_default();
        spans.retain(|(s, ..)| s + SPANS > span);
        if spans.back().is_none_or(|(s, ..)| *s != span) {
            spans.push_back((span, 0, 0));
        }
        if let Some((_, good, all)) = spans.back_mut() {
            *good += u64::from(well);
            *all += 1;
        }
    }

    /// From 0 to 100; an account that was not used is as good as any.
    fn share(&self, account: &str) -> u64 {
        let now = self.span();
        let spans = self.accounts.get(account).into_iter().flatten();
        let (mut good, mut all) = (0, 0);
        for (span, g, a) in spans.filter(|(s, ..)| s + SPANS > now) {
            let weight = SPANS - (now - span);
            good += g * weight;
            all += a * weight;
        }
        (good * 100).checked_div(all).unwrap_or(100)
    }

    /// Puts resources into the order to try them: the best accounts first, and the accounts in turns.
    pub(crate) fn order<T>(&self, resources: Vec<T>, account: impl Fn(&T) -> String) -> Vec<T> {
        let mut resources = resources;
        resources.shuffle(&mut rand::rng());
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut ranked: Vec<_> = resources
            .into_iter()
            .map(|resource| {
                let name = account(&resource);
                let turn = seen.entry(name.clone()).or_default();
                *turn += 1;
                let share = self.share(&name);
                let tier = TIERS.iter().position(|t| share >= *t).unwrap_or(TIERS.len());
                ((*turn, tier), resource)
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, resource)| resource).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_fails_comes_last_and_the_others_take_turns() {
        let mut ranking = Ranking::new();
        for _ in 0..10 {
            ranking.note("bad", false);
            ranking.note("good", true);
        }
        let order = ranking.order(vec!["bad", "good", "bad", "good", "new"], |r| (*r).to_owned());
        assert_eq!(order[2..], ["bad", "good", "bad"], "{order:?}");
        let mut first = order[..2].to_vec();
        first.sort_unstable();
        assert_eq!(first, ["good", "new"]);
    }
}
