package access

import (
	"slices"

	"dragoman/internal/config"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// Reach is how far a method looks.
type Reach int

// The reaches.
const (
	Anywhere   Reach = iota // at nobody's in particular
	Place                   // at a tenant or team: that of what is asked for
	Everything              // at all tenants: a grant for one does not allow it
)

// Method is what a method of the admin API needs.
type Method struct {
	Roles  []config.Role
	Reach  Reach
	Action string // as the audit trail calls it; "" where nothing changes
}

var (
	everybody = []config.Role{config.RoleAdmin, config.RoleOperator, config.RoleViewer, config.RoleMember}
	readers   = []config.Role{config.RoleAdmin, config.RoleOperator, config.RoleViewer}
	keepers   = []config.Role{config.RoleAdmin, config.RoleOperator, config.RoleMember} // of keys
	operators = []config.Role{config.RoleAdmin, config.RoleOperator}
	admins    = []config.Role{config.RoleAdmin}
)

// Methods is who may do what: what is not here nobody may. A role whose grant is for a tenant or team reaches what belongs to it and
// nothing else, whichever role it is.
var Methods = map[string]Method{
	adminv1.Admin_WhoAmI_FullMethodName: {everybody, Anywhere, ""},

	adminv1.Admin_CreateKey_FullMethodName: {keepers, Place, "key.create"},
	adminv1.Admin_ListKeys_FullMethodName:  {everybody, Place, ""},
	adminv1.Admin_GetKey_FullMethodName:    {everybody, Place, ""},
	adminv1.Admin_RotateKey_FullMethodName: {keepers, Place, "key.rotate"},
	adminv1.Admin_RevokeKey_FullMethodName: {keepers, Place, "key.revoke"},

	adminv1.Admin_CreateToken_FullMethodName: {admins, Place, "token.create"},
	adminv1.Admin_ListTokens_FullMethodName:  {admins, Place, ""},
	adminv1.Admin_RevokeToken_FullMethodName: {admins, Place, "token.revoke"},

	adminv1.Admin_ListPrincipals_FullMethodName: {everybody, Place, ""},
	adminv1.Admin_GetUsage_FullMethodName:       {everybody, Place, ""},
	adminv1.Admin_ListAudit_FullMethodName:      {readers, Place, ""},
	adminv1.Admin_VerifyAudit_FullMethodName:    {readers, Everything, ""},

	adminv1.Admin_PurgeCache_FullMethodName:    {operators, Place, "cache.purge"},
	adminv1.Admin_CacheFeedback_FullMethodName: {operators, Everything, "cache.feedback"}, // an entry does not say whose it is
	adminv1.Admin_GetStatus_FullMethodName:     {readers, Everything, ""},
	adminv1.Admin_Reload_FullMethodName:        {operators, Everything, "config.reload"},
}

func (m Method) allows(r config.Role) bool { return slices.Contains(m.Roles, r) }

// includes says whether a role allows all that another does.
func includes(r, other config.Role) bool {
	for _, m := range Methods {
		if m.allows(other) && !m.allows(r) {
			return false
		}
	}
	return true
}
