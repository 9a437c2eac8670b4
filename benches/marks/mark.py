"""One figure, and what it has to reach."""

import dataclasses


@dataclasses.dataclass
class Mark:
    name: str
    figure: float
    bound: float
    words: str
    at_most: bool = False

    @property
    def reached(self):
        return self.figure <= self.bound if self.at_most else self.figure >= self.bound
