package study

// Condition compares one telemetry variable with a threshold; where the
// comparison holds, the job is ended.
type Condition struct {
	// Name identifies the rule; unique in its study.
	Name        string `yaml:"name" json:"name" strict:"required"`
	Description string `yaml:"description" json:"description,omitempty"`
	// Variable is the telemetry variable's name, as the scenario emits it.
	Variable string   `yaml:"variable" json:"variable" strict:"required"`
	Operator Operator `yaml:"operator" json:"operator" strict:"required"`
	// Threshold is finite.
	Threshold float64 `yaml:"threshold" json:"threshold" strict:"required"`
	// Units is the threshold's unit, normalised as by NormalizeUnits; samples must
	// carry the same. The key is required; DecodeStrict reads it.
	Units string `yaml:"-" json:"units"`
}

// Operator is a comparison.
type Operator string

// The operators: value OPERATOR threshold.
const (
	LT  Operator = "lt"
	LTE Operator = "lte"
	GT  Operator = "gt"
	GTE Operator = "gte"
	EQ  Operator = "eq"
	NEQ Operator = "neq"
)

// Operators lists the valid operators.
func Operators() []Operator { return []Operator{LT, LTE, GT, GTE, EQ, NEQ} }

// Valid reports whether o is one of the operators.
func (o Operator) Valid() bool {
	switch o {
	case LT, LTE, GT, GTE, EQ, NEQ:
		return true
	}
	return false
}

// Holds reports whether value o threshold, compared exactly (eq and neq have no
// tolerance). It is false for an operator that is not Valid; a NaN compares as
// IEEE 754 has it, so callers look for NaN first.
func (o Operator) Holds(value, threshold float64) bool {
	switch o {
	case LT:
		return value < threshold
	case LTE:
		return value <= threshold
	case GT:
		return value > threshold
	case GTE:
		return value >= threshold
	case EQ:
		return value == threshold
	case NEQ:
		return value != threshold
	}
	return false
}
