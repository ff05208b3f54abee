package executor

import (
	"slices"
	"strings"
	"testing"
)

func TestNever(t *testing.T) {
	for _, tc := range []struct {
		what  string
		check func(string) error
		value string
		says  string // empty: allowed
	}{
		{"capability", CheckCapability, "CAP_NET_RAW", ""},
		{"capability", CheckCapability, "CAP_SYS_NICE", ""},
		{"capability", CheckCapability, "CAP_SYS_ADMIN", "as good as root"},
		{"capability", CheckCapability, "CAP_SYS_MODULE", "as good as root"},
		{"capability", CheckCapability, "ALL", "never privileged"},
		{"capability", CheckCapability, "all", "never privileged"},
		{"capability", CheckCapability, "NET_RAW", "want a name such as CAP_NET_RAW"},
		{"capability", CheckCapability, "cap_net_raw", "want a name such as CAP_NET_RAW"},
		{"capability", CheckCapability, "", "want a name such as CAP_NET_RAW"},
		{"network", CheckNetwork, "none", ""},
		{"network", CheckNetwork, "bridge", ""},
		{"network", CheckNetwork, "lab_1", ""},
		{"network", CheckNetwork, "host", "never host"},
		{"network", CheckNetwork, "default", "must be none"},
		{"network", CheckNetwork, "", "must be none"},
		{"network", CheckNetwork, "container:x", "another container's"},
		{"network", CheckNetwork, "ns:/proc/1/ns/net", "never host"},
		{"device", CheckDevice, "/dev/kvm", ""},
		{"device", CheckDevice, "/dev/dri/renderD128", ""},
		{"device", CheckDevice, "/dev/mem", "all of the host"},
		{"device", CheckDevice, "/dev/mapper/root", "all of the host"},
		{"device", CheckDevice, "/dev/../etc/shadow", "not the path of a device"},
		{"device", CheckDevice, "/dev/", "not the path of a device"},
		{"device", CheckDevice, "/etc/shadow", "not the path of a device"},
		{"device", CheckDevice, "kvm", "not the path of a device"},
	} {
		if err := tc.check(tc.value); (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s %q: %v, want %q", tc.what, tc.value, err, tc.says)
		}
	}
	for _, name := range hostCapabilities {
		if !slices.Contains(capabilities, name) {
			t.Errorf("%s is not a capability", name)
		}
	}
}
