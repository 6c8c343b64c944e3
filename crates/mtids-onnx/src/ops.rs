//! Operators of set 17, with the sizes of their results.
//!
//! Axes are counted behind the batch: axis 0 of `[N, C, H, W]` is C. Invariant: operands that do not fit are an error here, not in the program
//! that runs the graph.

use crate::error::{Result, shape_error};
use crate::graph::{Graph, Value};
use crate::proto::Attribute;

/// The number that the format gives an axis.
fn number(axis: usize) -> i64 {
    axis as i64 + 1
}

impl Graph {
    /// An operation on entries, such as `Relu`.
    pub(crate) fn map(&mut self, operator: &'static str, x: &Value) -> Value {
        self.node(operator, vec![x.name().to_owned()], Vec::new(), x.axes().to_vec())
    }

    /// An operation on pairs of entries, such as `Add`; an axis of length 1 is repeated.
    pub(crate) fn combine(&mut self, operator: &'static str, a: &Value, b: &Value) -> Result<Value> {
        let fits = |(a, b): (&usize, &usize)| a == b || *a == 1 || *b == 1;
        if a.axes().len() != b.axes().len() || !a.axes().iter().zip(b.axes()).all(fits) {
            return Err(shape_error(operator, b.axes(), format!("one that fits {:?}", a.axes())));
        }
        let axes = a.axes().iter().zip(b.axes()).map(|(a, b)| *a.max(b)).collect();
        Ok(self.node(operator, vec![a.name().to_owned(), b.name().to_owned()], Vec::new(), axes))
    }

    /// An operation on entries with one number, such as `Mul`.
    pub(crate) fn with_number(&mut self, operator: &'static str, x: &Value, by: f32) -> Value {
        let by = self.floats(&[], vec![by]);
        self.node(operator, vec![x.name().to_owned(), by], Vec::new(), x.axes().to_vec())
    }

    /// Entries kept within bounds.
    pub(crate) fn clip(&mut self, x: &Value, least: f32, most: f32) -> Value {
        let bounds = [least, most].map(|bound| self.floats(&[], vec![bound]));
        let inputs = [x.name().to_owned()].into_iter().chain(bounds).collect();
        self.node("Clip", inputs, Vec::new(), x.axes().to_vec())
    }

    /// The same entries under other axes.
    pub(crate) fn reshape(&mut self, x: &Value, axes: &[usize]) -> Result<Value> {
        if x.axes().iter().product::<usize>() != axes.iter().product::<usize>() {
            return Err(shape_error("Reshape", x.axes(), format!("as many entries as {axes:?}")));
        }
        // 0 keeps the batch as it is.
        let shape = self.integers([0].into_iter().chain(axes.iter().map(|size| *size as i64)).collect());
        Ok(self.node("Reshape", vec![x.name().to_owned(), shape], Vec::new(), axes.to_vec()))
    }

    /// `count` places of an axis from `start` on.
    pub(crate) fn slice(&mut self, x: &Value, axis: usize, start: usize, count: usize) -> Result<Value> {
        match x.axes().get(axis) {
            Some(&size) if size == count && start == 0 => return Ok(x.clone()),
            Some(&size) if start + count <= size && count > 0 => {}
            _ => return Err(shape_error("Slice", x.axes(), format!("{count} places of axis {axis} from {start} on"))),
        }
        let bounds = [start as i64, (start + count) as i64, number(axis)].map(|bound| self.integers(vec![bound]));
        let mut axes = x.axes().to_vec();
        axes[axis] = count;
        let inputs = [x.name().to_owned()].into_iter().chain(bounds).collect();
        Ok(self.node("Slice", inputs, Vec::new(), axes))
    }

    /// These places of an axis, in this order.
    pub(crate) fn gather(&mut self, x: &Value, axis: usize, places: &[usize]) -> Result<Value> {
        if x.axes().get(axis).is_none_or(|size| places.iter().any(|place| place >= size)) {
            return Err(shape_error("Gather", x.axes(), format!("the places {places:?} of axis {axis}")));
        }
        let mut axes = x.axes().to_vec();
        axes[axis] = places.len();
        let places = self.integers(places.iter().map(|place| *place as i64).collect());
        let attributes = vec![("axis", Attribute::Int(number(axis)))];
        Ok(self.node("Gather", vec![x.name().to_owned(), places], attributes, axes))
    }

    /// Values one after the other along an axis; one alone is itself.
    pub(crate) fn concat(&mut self, values: &[Value], axis: usize) -> Result<Value> {
        let (first, rest) = match values {
            [] => return Err(shape_error("Concat", &[], "at least one value")),
            [one] => return Ok(one.clone()),
            [first, rest @ ..] => (first, rest),
        };
        let mut axes = first.axes().to_vec();
        for value in rest {
            let others = |axes: &[usize]| -> Vec<usize> {
                axes.iter().enumerate().filter(|(at, _)| *at != axis).map(|(_, size)| *size).collect()
            };
            if axis >= value.axes().len() || axis >= axes.len() || others(&axes) != others(value.axes()) {
                return Err(shape_error("Concat", value.axes(), format!("one that fits {axes:?} along axis {axis}")));
            }
            axes[axis] += value.axes()[axis];
        }
        let names = values.iter().map(|value| value.name().to_owned()).collect();
        Ok(self.node("Concat", names, vec![("axis", Attribute::Int(number(axis)))], axes))
    }

    /// The samples of values one after the other.
    pub(crate) fn concat_samples(&mut self, values: &[Value]) -> Result<Value> {
        let axes = values.first().map(|value| value.axes().to_vec()).unwrap_or_default();
        if let Some(other) = values.iter().find(|value| value.axes() != axes) {
            return Err(shape_error("Concat", other.axes(), format!("{axes:?}")));
        }
        let names = values.iter().map(|value| value.name().to_owned()).collect();
        Ok(self.node("Concat", names, vec![("axis", Attribute::Int(0))], axes))
    }

    /// The mean of `count` rows of samples that stand one after the other: what [`Graph::concat_samples`] joined. For values of one axis.
    pub(crate) fn mean_of_samples(&mut self, x: &Value, count: usize) -> Result<Value> {
        let [size] = self.vector(x)?;
        let shape = self.integers(vec![count as i64, -1, size as i64]);
        let rows = self.node("Reshape", vec![x.name().to_owned(), shape], Vec::new(), vec![size]);
        let attributes = vec![("axes", Attribute::Ints(vec![0])), ("keepdims", Attribute::Int(0))];
        Ok(self.node("ReduceMean", vec![rows.name().to_owned()], attributes, vec![size]))
    }

    /// The size of a value of one axis.
    pub(crate) fn vector(&self, x: &Value) -> Result<[usize; 1]> {
        x.axes().try_into().map_err(|_| shape_error(x.name(), x.axes(), "one axis"))
    }

    /// The last two axes exchanged.
    pub(crate) fn exchange_last(&mut self, x: &Value) -> Result<Value> {
        let mut axes = x.axes().to_vec();
        let count = axes.len();
        if count < 2 {
            return Err(shape_error("Transpose", x.axes(), "at least two axes"));
        }
        axes.swap(count - 2, count - 1);
        let mut order: Vec<i64> = (0..=count as i64).collect();
        order.swap(count - 1, count);
        Ok(self.node("Transpose", vec![x.name().to_owned()], vec![("perm", Attribute::Ints(order))], axes))
    }

    /// The sum over an axis, which falls away.
    pub(crate) fn sum(&mut self, x: &Value, axis: usize) -> Result<Value> {
        let axes = without(x, axis)?;
        let over = self.integers(vec![number(axis)]);
        let attributes = vec![("keepdims", Attribute::Int(0))];
        Ok(self.node("ReduceSum", vec![x.name().to_owned(), over], attributes, axes))
    }

    /// The largest entry along an axis, which keeps a length of 1.
    pub(crate) fn largest(&mut self, x: &Value, axis: usize) -> Result<Value> {
        without(x, axis)?;
        let mut axes = x.axes().to_vec();
        axes[axis] = 1;
        let attributes = vec![("axes", Attribute::Ints(vec![number(axis)])), ("keepdims", Attribute::Int(1))];
        Ok(self.node("ReduceMax", vec![x.name().to_owned()], attributes, axes))
    }

    /// `Softmax` or `LogSoftmax` over the last axis.
    pub(crate) fn normalised(&mut self, operator: &'static str, x: &Value) -> Value {
        self.node(operator, vec![x.name().to_owned()], vec![("axis", Attribute::Int(-1))], x.axes().to_vec())
    }

    /// `x Wᵀ + b` for a weight `[outputs, inputs]`.
    pub(crate) fn product(&mut self, x: &Value, weight: String, bias: Option<String>, outputs: usize) -> Value {
        let inputs = [x.name().to_owned(), weight].into_iter().chain(bias).collect();
        self.node("Gemm", inputs, vec![("transB", Attribute::Int(1))], vec![outputs])
    }

    /// A convolution with a weight `[outputs, inputs, kernel..]`, zeros around the input.
    pub(crate) fn convolution(
        &mut self,
        x: &Value,
        weight: String,
        kernel: &[usize],
        stride: &[usize],
        outputs: usize,
    ) -> Result<Value> {
        let size = x.axes().get(1..).unwrap_or_default();
        if size.len() != kernel.len() || size.len() != stride.len() {
            return Err(shape_error("Conv", x.axes(), format!("channels and {} more axes", kernel.len())));
        }
        let mut axes = vec![outputs];
        for ((size, kernel), stride) in size.iter().zip(kernel).zip(stride) {
            axes.push((size + 2 * (kernel / 2) - kernel) / stride + 1);
        }
        let ints = |values: &[usize]| Attribute::Ints(values.iter().map(|value| *value as i64).collect());
        let padding: Vec<usize> = kernel.iter().chain(kernel).map(|kernel| kernel / 2).collect();
        let attributes = vec![("kernel_shape", ints(kernel)), ("strides", ints(stride)), ("pads", ints(&padding))];
        Ok(self.node("Conv", vec![x.name().to_owned(), weight], attributes, axes))
    }
}

/// The axes without one of them.
fn without(x: &Value, axis: usize) -> Result<Vec<usize>> {
    let mut axes = x.axes().to_vec();
    if axis >= axes.len() {
        return Err(shape_error(x.name(), x.axes(), format!("an axis {axis}")));
    }
    axes.remove(axis);
    Ok(axes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_sizes_of_the_operators() {
        let mut graph = Graph::default();
        let x = graph.input("x", &[2, 5, 7], "").unwrap();
        assert_eq!(graph.slice(&x, 2, 1, 3).unwrap().axes(), [2, 5, 3]);
        assert_eq!(graph.slice(&x, 1, 0, 5).unwrap(), x, "all of an axis is no operation");
        assert_eq!(graph.gather(&x, 0, &[1, 0, 1]).unwrap().axes(), [3, 5, 7]);
        assert_eq!(graph.concat(&[x.clone(), x.clone()], 1).unwrap().axes(), [2, 10, 7]);
        assert_eq!(graph.exchange_last(&x).unwrap().axes(), [2, 7, 5]);
        assert_eq!(graph.sum(&x, 0).unwrap().axes(), [5, 7]);
        assert_eq!(graph.largest(&x, 0).unwrap().axes(), [1, 5, 7]);
        assert_eq!(graph.reshape(&x, &[10, 7]).unwrap().axes(), [10, 7]);
        let conv = graph.convolution(&x, "w".to_owned(), &[3, 3], &[2, 1], 4).unwrap();
        assert_eq!(conv.axes(), [4, 3, 7]);
        let narrow = graph.slice(&x, 1, 0, 1).unwrap();
        assert_eq!(graph.combine("Mul", &x, &narrow).unwrap().axes(), [2, 5, 7]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut graph = Graph::default();
        let x = graph.input("x", &[2, 5], "").unwrap();
        let y = graph.input("y", &[3, 5], "").unwrap();
        assert!(graph.combine("Add", &x, &y).is_err());
        assert!(graph.concat(&[x.clone(), y.clone()], 1).is_err());
        assert!(graph.slice(&x, 1, 3, 3).is_err());
        assert!(graph.gather(&x, 1, &[5]).is_err());
        assert!(graph.reshape(&x, &[11]).is_err());
        assert!(graph.concat_samples(&[x, y]).is_err());
    }
}
