//! Joint codes of several label dimensions, whatever the tasks.
//!
//! Invariant: digits and code determine each other.

/// Mixed-radix codes of several label dimensions; the first dimension is the most significant digit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSpace {
    sizes: Vec<usize>,
}

impl LabelSpace {
    /// A space with these numbers of classes per dimension, each at least 1.
    pub fn new(sizes: &[usize]) -> Self {
        Self { sizes: sizes.iter().map(|&size| size.max(1)).collect() }
    }

    /// Numbers of classes per dimension.
    pub(crate) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Number of joint classes.
    pub fn classes(&self) -> usize {
        self.sizes.iter().product()
    }

    /// Number of dimensions.
    pub fn dimensions(&self) -> usize {
        self.sizes.len()
    }

    /// Code of these digits; `None` when a digit is out of range or their number is wrong.
    pub fn encode(&self, digits: &[usize]) -> Option<usize> {
        if digits.len() != self.sizes.len() {
            return None;
        }
        digits
            .iter()
            .zip(&self.sizes)
            .try_fold(0, |code, (&digit, &size)| if digit < size { Some(code * size + digit) } else { None })
    }

    /// Digits of a code.
    pub fn decode(&self, mut code: usize) -> Vec<usize> {
        let mut digits: Vec<usize> = self
            .sizes
            .iter()
            .rev()
            .map(|&size| {
                let digit = code % size;
                code /= size;
                digit
            })
            .collect();
        digits.reverse();
        digits
    }

    /// The codes that agree with the known digits.
    pub fn compatible(&self, known: &[Option<usize>]) -> Vec<usize> {
        let agrees = |code: &usize| {
            self.decode(*code).iter().zip(known).all(|(digit, known)| known.is_none_or(|known| known == *digit))
        };
        (0..self.classes()).filter(agrees).collect()
    }
}
