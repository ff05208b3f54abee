package config

import (
	"errors"
	"fmt"
	"math"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// quantityForm is what ParseQuantity accepts, less what would only cost time: it
// needs seconds for an exponent of seven digits.
var quantityForm = regexp.MustCompile(`^[+-]?[0-9]{0,20}(\.[0-9]{0,9})?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$`)

// largestQuantity is beyond every limit, and well within what a Quantity's Value
// and MilliValue can say: of larger ones they say 0.
const largestQuantity = math.MaxInt64 / 4000

func parseQuantity(s string) (resource.Quantity, error) {
	if !quantityForm.MatchString(s) {
		return resource.Quantity{}, resource.ErrFormatWrong
	}
	q, err := resource.ParseQuantity(s)
	most, least := resource.NewQuantity(largestQuantity, resource.DecimalSI), resource.NewQuantity(-largestQuantity, resource.DecimalSI)
	switch {
	case err != nil:
	case q.Cmp(*most) > 0:
		return *most, nil
	case q.Cmp(*least) < 0:
		return *least, nil
	}
	return q, err
}

// size is a number of bytes: 1073741824, 1Gi, 500M.
type size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *size) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	q, err := parseQuantity(s)
	if err != nil {
		return errors.New("not a size; write 512Mi, 2Gi or a number of bytes")
	}
	if number, ok := strings.CutSuffix(s, "m"); ok {
		return fmt.Errorf("means thousandths of a byte; write %sMi for mebibytes", number)
	}
	*v = size(q.Value())
	return nil
}

// cores is a number of CPU cores in thousandths: 2, 0.5, 500m.
type cores int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *cores) UnmarshalText(text []byte) error {
	q, err := parseQuantity(strings.TrimSpace(string(text)))
	if err != nil {
		return errors.New("not a number of cores; write 2, 0.5 or 500m")
	}
	*v = cores(q.MilliValue())
	return nil
}

// duration is Go's notation, or a plain number of seconds.
type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *duration) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(seconds) || math.Abs(seconds) > math.MaxInt64/2e9 {
			return errors.New("no possible duration")
		}
		*v = duration(seconds * float64(time.Second))
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return errors.New("not a duration; write 90s, 1h30m or a number of seconds")
	}
	*v = duration(d)
	return nil
}

// UnmarshalText reads USER[:GROUP], each a number or a name of this host.
func (o *Owner) UnmarshalText(text []byte) error {
	name, group, hasGroup := strings.Cut(strings.TrimSpace(string(text)), ":")
	u, err := lookupUser(name)
	if err != nil {
		return err
	}
	if hasGroup {
		if u.gid, err = lookupGroup(group); err != nil {
			return err
		}
	}
	if u.gid < 0 {
		return errors.New("names no group, and the user is not known on this host; write UID:GID")
	}
	*o = Owner{UID: u.uid, GID: u.gid, Set: true}
	return nil
}

type hostUser struct{ uid, gid int }

func lookupUser(name string) (hostUser, error) {
	u, err := user.LookupId(name)
	if err != nil {
		u, err = user.Lookup(name)
	}
	if err == nil {
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		return hostUser{uid, gid}, nil
	}
	uid, err := parseID(name)
	if err != nil {
		return hostUser{}, fmt.Errorf("user %q is neither a number nor known on this host", name)
	}
	return hostUser{uid, -1}, nil
}

func lookupGroup(name string) (int, error) {
	if gid, err := parseID(name); err == nil {
		return gid, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, fmt.Errorf("group %q is neither a number nor known on this host", name)
	}
	return strconv.Atoi(g.Gid)
}

// parseID reads a numeric user or group id; 2^32-1 means "no id" to the kernel.
func parseID(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == math.MaxUint32 {
		err = strconv.ErrRange
	}
	return int(n), err
}

// UnmarshalText reads FIRST-LAST.
func (r *UIDRange) UnmarshalText(text []byte) error {
	first, last, ok := strings.Cut(string(text), "-")
	a, err1 := parseID(strings.TrimSpace(first))
	b, err2 := parseID(strings.TrimSpace(last))
	switch {
	case !ok || err1 != nil || err2 != nil:
		return errors.New("not a range of user ids; write FIRST-LAST, such as 1600000000-1600065535")
	case a == 0:
		return errors.New("contains user id 0; no job may run as root")
	case b < a:
		return errors.New("ends before it begins")
	}
	*r = UIDRange{First: a, Last: b}
	return nil
}
