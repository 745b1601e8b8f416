//! Rows of a load's net changes, by their numbers.

/// A set of row numbers, as runs from a first to a last one: ascending, and none touches the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part(Vec<(u64, u64)>);

impl Part {
    /// The numbers 1 to `rows`.
    pub fn all(rows: u64) -> Self {
        Self::run(1, rows)
    }

    /// The numbers from `first` to `last`.
    pub fn run(first: u64, last: u64) -> Self {
        Self(if first > last {
            Vec::new()
        } else {
            vec![(first, last)]
        })
    }

    /// These numbers, which ascend.
    pub fn of(numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for number in numbers {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                Some(_) | None => runs.push((number, number)),
            }
        }
        Self(runs)
    }

    /// The numbers of this part that are not among `numbers`, which ascend.
    pub fn without(self, numbers: impl IntoIterator<Item = u64>) -> Self {
        let mut runs = self.0;
        for number in numbers {
            let Some(at) = runs
                .iter()
                .position(|&(first, last)| (first..=last).contains(&number))
            else {
                continue;
            };
            let (first, last) = runs[at];
            let rest = [(first, number.wrapping_sub(1)), (number + 1, last)];
            runs.splice(at..=at, rest.into_iter().filter(|(a, b)| a <= b && *a > 0));
        }
        Self(runs)
    }

    /// How many rows it has.
    pub fn rows(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// The number of a part with one row.
    pub fn only(&self) -> Option<u64> {
        match self.0.as_slice() {
            [(first, last)] if first == last => Some(*first),
            _ => None,
        }
    }

    pub fn has(&self, number: u64) -> bool {
        self.0
            .iter()
            .any(|&(first, last)| (first..=last).contains(&number))
    }

    /// The lower half of the numbers and the upper one.
    pub fn halves(&self) -> (Part, Part) {
        let mut left = self.rows() / 2;
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        for &(first, last) in &self.0 {
            let rows = last - first + 1;
            if rows <= left {
                lower.push((first, last));
            } else if left == 0 {
                upper.push((first, last));
            } else {
                lower.push((first, first + left - 1));
                upper.push((first + left, last));
            }
            left = left.saturating_sub(rows);
        }
        (Self(lower), Self(upper))
    }

    /// Parts of at most `runs` runs each, which a statement can name.
    pub fn pieces(&self, runs: usize) -> Vec<Part> {
        self.0
            .chunks(runs)
            .map(|runs| Self(runs.to_vec()))
            .collect()
    }

    /// The condition that the number in `column` is one of these.
    pub(super) fn condition(&self, column: &str) -> String {
        let runs = self.0.iter().map(|(first, last)| match first == last {
            true => format!("{column} = {first}"),
            false => format!("{column} BETWEEN {first} AND {last}"),
        });
        match super::list(runs, " OR ") {
            none if none.is_empty() => "1 = 0".to_owned(),
            runs => format!("({runs})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_as_runs() {
        let part = Part::of([1, 2, 3, 7, 9, 10]);
        assert_eq!(part, Part(vec![(1, 3), (7, 7), (9, 10)]));
        assert_eq!(part.rows(), 6);
        assert!(part.has(7) && !part.has(8));
        assert_eq!(
            part.condition("n.[r]"),
            "(n.[r] BETWEEN 1 AND 3 OR n.[r] = 7 OR n.[r] BETWEEN 9 AND 10)"
        );
        assert_eq!(part.pieces(2).len(), 2);
        assert_eq!(Part::all(0).condition("n"), "1 = 0");
        assert_eq!(Part::of([4]).only(), Some(4));
        assert_eq!(Part::of([4, 5]).only(), None);
    }

    #[test]
    fn halves_have_every_number_once() {
        for part in [Part::all(1), Part::all(7), Part::of([1, 2, 3, 7, 9, 10])] {
            let (lower, upper) = part.halves();
            assert_eq!(lower.rows(), part.rows() / 2);
            for number in 0..12 {
                let halves = u8::from(lower.has(number)) + u8::from(upper.has(number));
                assert_eq!(halves, u8::from(part.has(number)), "{part:?} {number}");
            }
        }
    }

    #[test]
    fn numbers_are_taken_out() {
        assert_eq!(Part::all(5).without([1, 3]), Part(vec![(2, 2), (4, 5)]));
        assert_eq!(Part::all(2).without([1, 2, 9]), Part::default());
    }
}
