"""ONNX nodes, and their gradients, of what an embedding's head has beyond a classifier's layers."""

from __future__ import annotations

from collections.abc import Sequence

from training.gradient_graph.layers import GraphWriter, Value


class HeadWriter(GraphWriter):
    """Powers, concatenation and unit length, for values (N, D)."""

    def power(self, x: Value, exponent: float) -> Value:
        """x^exponent; x must be positive unless the exponent is a whole number above 1."""
        y = Value(self.node("Pow", x.name, self.floats(exponent)), x.shape)

        def rule(g: Value) -> Sequence[Value]:
            slope = Value(self.node("Pow", x.name, self.floats(exponent - 1)), x.shape)
            return [self._product(g, self._scaled(slope, exponent))]

        return self._done(y, rule, x)

    def concatenate(self, parts: Sequence[Value]) -> Value:
        """Values (N, D1), (N, D2), … → (N, D1 + D2 + …)."""
        sizes = [part.shape[0] for part in parts]
        y = Value(self.node("Concat", *(part.name for part in parts), axis=1), (sum(sizes),))

        def rule(g: Value) -> Sequence[Value]:
            ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
            return [
                Value(
                    self.node("Slice", g.name, self.ints(end - size), self.ints(end), self.ints(1)),
                    (size,),
                )
                for size, end in zip(sizes, ends, strict=True)
            ]

        return self._done(y, rule, *parts)

    def unit(self, x: Value) -> Value:
        """x / ‖x‖ for each row; of the gradient only what is at right angles to it remains."""
        length = self.node("ReduceL2", x.name, self.ints(1), keepdims=1)
        y = Value(self.node("Div", x.name, length), x.shape)

        def rule(g: Value) -> Sequence[Value]:
            along = self.node("ReduceSum", self._product(g, y).name, self.ints(1), keepdims=1)
            across = self.node("Sub", g.name, self.node("Mul", y.name, along))
            return [Value(self.node("Div", across, length), x.shape)]

        return self._done(y, rule, x)
