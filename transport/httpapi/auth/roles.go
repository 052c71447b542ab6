package auth

// Role is one row of the role table; several are a set.
type Role uint8

// The roles of the HTTP contract. Admin is the platform's: it counts only in a token without a tenant.
const (
	Admin Role = 1 << iota
	TenantAdmin
	Auditor
	Writer
	Reader
)

// Any is every role.
const Any = Admin | TenantAdmin | Auditor | Writer | Reader

var roleNames = [...]struct {
	role Role
	name string
}{{Admin, "admin"}, {TenantAdmin, "tenant_admin"}, {Auditor, "auditor"}, {Writer, "writer"}, {Reader, "reader"}}

// ParseRole is the role of exactly that name; 0 for any other text.
func ParseRole(name string) Role {
	for _, r := range roleNames {
		if r.name == name {
			return r.role
		}
	}
	return 0
}

// Names are the names of the roles in the set, in the order of the table.
func (r Role) Names() []string {
	var names []string
	for _, n := range roleNames {
		if r&n.role != 0 {
			names = append(names, n.name)
		}
	}
	return names
}

// Has tells whether the sets share a role.
func (r Role) Has(any Role) bool { return r&any != 0 }

// RightExport lets a reader export.
const RightExport = "export"
