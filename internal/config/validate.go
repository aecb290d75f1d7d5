package config

import (
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// words are the fields that take one word of a closed set.
var words = map[protoreflect.FullName][]string{
	"dragoman.v1.Provider.schema":          schemaNames(),
	"dragoman.v1.Provider.catalogue":       append(vendorNames(), none),
	"dragoman.v1.Provider.dialect":         append(dialectNames(), none),
	"dragoman.v1.Provider.apis":            apiWords,
	"dragoman.v1.Provider.locality":        {"local", "remote"},
	"dragoman.v1.Provider.http":            {"auto", "http1", "http2"},
	"dragoman.v1.Credential.scheme":        {"api_key", "bearer"},
	"dragoman.v1.Model.capabilities":       capabilityWords,
	"dragoman.v1.Route.strategy":           Strategies(),
	"dragoman.v1.Route.sticky":             {string(StickyUser), string(StickyConversation), string(StickyKey), string(StickyNone)},
	"dragoman.v1.Refusal.kind":             refusalKinds,
	"dragoman.v1.Route.unsupported":        {"reject", "drop"},
	"dragoman.v1.Route.context":            {string(OverlongReject), string(OverlongNext), string(TruncateOldest), string(TruncateMiddle)},
	"dragoman.v1.RouteRetry.probe":         {string(ProbeStreams), string(ProbeAll), string(ProbeNone)},
	"dragoman.v1.Provider.limited_by":      {LimitedByModel, LimitedByCredential},
	"dragoman.v1.Retry.probe":              {string(ProbeStreams), string(ProbeAll), string(ProbeNone)},
	"dragoman.v1.Envoy.log_level":          {"trace", "debug", "info", "warning", "error", "critical", "off"},
	"dragoman.v1.ExactCache.store":         {"memory", "redis"},
	"dragoman.v1.SemanticCache.store":      {"memory", "redis"},
	"dragoman.v1.RateLimits.mode":          {"hard", "soft", "shadow"},
	"dragoman.v1.ModelLimits.mode":         {"hard", "soft", "shadow"},
	"dragoman.v1.Budget.mode":              {"hard", "soft", "shadow"},
	"dragoman.v1.Budget.per":               perNames[Hour:],
	"dragoman.v1.Budget.unpriced":          {"refuse", "assume", "ignore"},
	"dragoman.v1.Quota.store":              {"memory", "redis"},
	"dragoman.v1.Quota.when_away":          {"open", "closed"},
	"dragoman.v1.Ledger.on_full":           {LedgerRefuse, LedgerServe},
	"dragoman.v1.AdminToken.role":          Roles,
	"dragoman.v1.RoleRule.role":            Roles,
	"dragoman.v1.ClientCertificate.source": {sourceListener, sourceForwarded},
	"dragoman.v1.Log.level":                {"debug", "info", "warn", "error"},
	"dragoman.v1.Log.format":               {"text", "json"},
}

// bound is what a number may be; a duration is in seconds.
type bound struct{ min, max float64 }

const (
	maxPrice = 100_000 // USD per million tokens
	year     = 365 * 24 * 3600
)

var bounds = map[protoreflect.FullName]bound{
	"dragoman.v1.Envoy.concurrency":                    {0, 1024},
	"dragoman.v1.Endpoint.weight":                      {0, 1000},
	"dragoman.v1.Credential.weight":                    {0, 1000},
	"dragoman.v1.Model.context":                        {0, 1e9},
	"dragoman.v1.Model.max_output":                     {0, 1e9},
	"dragoman.v1.Model.quality":                        {0, 1},
	"dragoman.v1.Price.input":                          {0, maxPrice},
	"dragoman.v1.Price.output":                         {0, maxPrice},
	"dragoman.v1.Price.cache_read":                     {0, maxPrice},
	"dragoman.v1.Price.cache_write":                    {0, maxPrice},
	"dragoman.v1.Price.cache_write_1h":                 {0, maxPrice},
	"dragoman.v1.LongPrice.above":                      {1, 1e9},
	"dragoman.v1.LongPrice.input":                      {0, maxPrice},
	"dragoman.v1.LongPrice.output":                     {0, maxPrice},
	"dragoman.v1.LongPrice.cache_read":                 {0, maxPrice},
	"dragoman.v1.LongPrice.cache_write":                {0, maxPrice},
	"dragoman.v1.LongPrice.cache_write_1h":             {0, maxPrice},
	"dragoman.v1.Candidate.weight":                     {0, 1e6},
	"dragoman.v1.Weights.price":                        {0, 1e6},
	"dragoman.v1.Weights.latency":                      {0, 1e6},
	"dragoman.v1.Weights.quality":                      {0, 1e6},
	"dragoman.v1.Weights.headroom":                     {0, 1e6},
	"dragoman.v1.CredentialLimits.requests_per_minute": {1, 1e12},
	"dragoman.v1.CredentialLimits.tokens_per_minute":   {1, 1e12},
	"dragoman.v1.CredentialLimits.concurrency":         {1, 1e6},
	"dragoman.v1.Route.local_first":                    {0, 1},
	"dragoman.v1.Ceilings.cost":                        {1e-6, 1e6},
	"dragoman.v1.Ceilings.input_price":                 {1e-6, maxPrice},
	"dragoman.v1.Ceilings.output_price":                {1e-6, maxPrice},
	"dragoman.v1.Ceilings.latency":                     {0.001, 24 * 3600},
	"dragoman.v1.Canary.share":                         {0, 1},
	"dragoman.v1.Canary.error_margin":                  {0, 1},
	"dragoman.v1.Canary.latency_margin":                {0, 100},
	"dragoman.v1.Canary.min_requests":                  {1, 1_000_000},
	"dragoman.v1.Canary.window":                        {1, 366 * 24 * 3600},
	"dragoman.v1.RampStep.after":                       {0, 366 * 24 * 3600},
	"dragoman.v1.RampStep.share":                       {0, 1},
	"dragoman.v1.Mirror.share":                         {0, 1},
	"dragoman.v1.Mirror.max_in_flight":                 {1, 1000},
	"dragoman.v1.Affinity.min_tokens":                  {0, 1e9},
	"dragoman.v1.Affinity.load":                        {0, 1000},
	"dragoman.v1.Affinity.tolerance":                   {0, 1},
	"dragoman.v1.Queue.length":                         {1, 100_000},
	"dragoman.v1.Queue.wait":                           {0.001, 3600},
	"dragoman.v1.Downgrade.budget_left":                {0, 1},
	"dragoman.v1.Downgrade.queue":                      {0, 1},
	"dragoman.v1.Downgrade.latency":                    {0.001, 24 * 3600},
	"dragoman.v1.RateLimits.requests_per_minute":       {1, 1e12},
	"dragoman.v1.RateLimits.tokens_per_minute":         {1, 1e12},
	"dragoman.v1.RateLimits.concurrent_requests":       {1, 1e9},
	"dragoman.v1.RateLimits.concurrent_streams":        {1, 1e9},
	"dragoman.v1.ModelLimits.requests_per_minute":      {1, 1e12},
	"dragoman.v1.ModelLimits.tokens_per_minute":        {1, 1e12},
	"dragoman.v1.ModelLimits.concurrent_requests":      {1, 1e9},
	"dragoman.v1.ModelLimits.concurrent_streams":       {1, 1e9},
	"dragoman.v1.Budget.usd":                           {0, 1e9},
	"dragoman.v1.Budget.tokens":                        {0, 1e15},
	"dragoman.v1.Budget.rolling":                       {60, 366 * 24 * 3600},
	"dragoman.v1.Budget.warn_at":                       {0.01, 1},
	"dragoman.v1.BudgetOverride.usd":                   {0, 1e9},
	"dragoman.v1.BudgetOverride.tokens":                {0, 1e15},
	"dragoman.v1.Quota.grace":                          {0, 100},
	"dragoman.v1.Quota.lease":                          {1, 24 * 3600},
	"dragoman.v1.Quota.chunk":                          {0.01, 50},
	"dragoman.v1.Quota.min_output":                     {1, 1e6},
	"dragoman.v1.Webhook.timeout":                      {0.1, 60},
	"dragoman.v1.Webhook.retries":                      {0, 20},
	"dragoman.v1.Webhook.queue":                        {1, 100_000},
	"dragoman.v1.ExactCache.ttl":                       {1, year},
	"dragoman.v1.SemanticCache.threshold":              {0.5, 1},
	"dragoman.v1.SemanticCache.max_entries":            {1, 10_000_000},
	"dragoman.v1.SemanticCache.max_bytes":              {1 << 16, 1 << 40},
	"dragoman.v1.SemanticCache.ttl":                    {1, year},
	"dragoman.v1.SemanticCache.timeout":                {0.001, 10},
	"dragoman.v1.SemanticCache.max_text_bytes":         {1, 4000},
	"dragoman.v1.LocalEmbedder.workers":                {0, 64},
	"dragoman.v1.EndpointEmbedder.dimensions":          {0, 1 << 14},
	"dragoman.v1.ExactCache.max_bytes":                 {1 << 10, 1 << 40},
	"dragoman.v1.ExactCache.max_entry_bytes":           {1 << 10, 1 << 28},
	"dragoman.v1.ExactCache.stale_if_error":            {0, year},
	"dragoman.v1.ExactCache.max_temperature":           {0, 2},
	"dragoman.v1.Coalesce.max_wait":                    {0.001, 3600},
	"dragoman.v1.Coalesce.max_followers":               {1, 100_000},
	"dragoman.v1.Redis.database":                       {0, 1 << 20},
	"dragoman.v1.Redis.connections":                    {1, 10_000},
	"dragoman.v1.Turns.ttl":                            {1, 366 * 24 * 3600},
	"dragoman.v1.Turns.max_bytes":                      {1 << 20, 1 << 40},
	"dragoman.v1.Limits.max_body_bytes":                {1 << 10, 1 << 30},
	"dragoman.v1.Limits.max_response_bytes":            {1 << 10, 1 << 30},
	"dragoman.v1.Limits.max_event_bytes":               {1 << 10, 1 << 28},
	"dragoman.v1.Limits.max_upload_bytes":              {1 << 10, 1 << 40},
	"dragoman.v1.Limits.upload_timeout":                {0.001, 24 * 3600},
	"dragoman.v1.Retry.max_attempts":                   {1, 16},
	"dragoman.v1.Retry.per_try_timeout":                {0.001, 24 * 3600},
	"dragoman.v1.Retry.idle_timeout":                   {0.001, 24 * 3600},
	"dragoman.v1.Retry.timeout":                        {0.001, 24 * 3600},
	"dragoman.v1.Retry.connect_timeout":                {0.001, 600},
	"dragoman.v1.Retry.backoff":                        {0.001, 60},
	"dragoman.v1.LedgerLog.max_bytes":                  {32 << 20, 1 << 44},
	"dragoman.v1.LedgerLog.sync":                       {0.01, 60},
	"dragoman.v1.LedgerRetention.records":              {0, 100 * year},
	"dragoman.v1.LedgerRetention.hours":                {0, 100 * year},
	"dragoman.v1.LedgerRetention.audit":                {0, 100 * year},
	"dragoman.v1.Jwt.refresh":                          {1, 24 * 3600},
	"dragoman.v1.KeyStore.refresh":                     {0.1, 60},
	"dragoman.v1.KeyStore.max_age":                     {60, 100 * year},
	"dragoman.v1.Admin.session":                        {60, year},
	"dragoman.v1.MediaFetch.max_bytes":                 {1 << 10, 1 << 28},
	"dragoman.v1.MediaFetch.timeout":                   {0.1, 300},
	"dragoman.v1.Health.half_life":                     {0.1, 24 * 3600},
	"dragoman.v1.Health.failures":                      {1, 100},
	"dragoman.v1.Health.failure_ratio":                 {0.01, 1},
	"dragoman.v1.Health.backoff":                       {0.01, 3600},
	"dragoman.v1.Health.max_backoff":                   {0.01, 24 * 3600},
	"dragoman.v1.Health.slow_start":                    {0, 3600},
	"dragoman.v1.Health.panic":                         {1, 100},
	"dragoman.v1.ActiveCheck.interval":                 {0.1, 3600},
	"dragoman.v1.ActiveCheck.timeout":                  {0.01, 60},
	"dragoman.v1.Retry.budget":                         {0, 100},
	"dragoman.v1.RouteRetry.max_attempts":              {1, 16},
	"dragoman.v1.RouteRetry.per_try_timeout":           {0.001, 24 * 3600},
	"dragoman.v1.RouteRetry.idle_timeout":              {0.001, 24 * 3600},
	"dragoman.v1.RouteRetry.timeout":                   {0.001, 24 * 3600},
	"dragoman.v1.RouteRetry.backoff":                   {0.001, 60},
	"dragoman.v1.Health.floor":                         {1, 100},
	"dragoman.v1.Vault.refresh":                        {1, 24 * 3600},
	"dragoman.v1.Vault.timeout":                        {0.1, 60},
}

// forms are the fields whose text becomes a name elsewhere.
var forms = map[protoreflect.FullName]struct {
	ok   func(string) bool
	want string
}{
	"dragoman.v1.Provider.name":          {isName, wantName},
	"dragoman.v1.Endpoint.name":          {isName, wantName},
	"dragoman.v1.Credential.name":        {isName, wantName},
	"dragoman.v1.Tenant.name":            {isName, wantName},
	"dragoman.v1.Tenant.organisation":    {isName, wantName},
	"dragoman.v1.Organisation.name":      {isName, wantName},
	"dragoman.v1.User.name":              {isName, wantName},
	"dragoman.v1.Budget.name":            {isName, wantName},
	"dragoman.v1.Tenant.cache_scope":     {isName, wantName},
	"dragoman.v1.Team.name":              {isName, wantName},
	"dragoman.v1.Key.name":               {isName, wantName},
	"dragoman.v1.AdminToken.name":        {isName, wantPlain},
	"dragoman.v1.AdminToken.tenant":      {isName, wantPlain},
	"dragoman.v1.AdminToken.team":        {isName, wantPlain},
	"dragoman.v1.Login.name":             {isName, wantPlain},
	"dragoman.v1.OidcLogin.client_id":    {isVisible, wantVisible},
	"dragoman.v1.OidcLogin.scopes":       {isModelName, wantVisible},
	"dragoman.v1.OidcLogin.groups_claim": {isVisible, wantVisible},
	"dragoman.v1.GithubLogin.client_id":  {isVisible, wantVisible},
	"dragoman.v1.RoleRule.groups":        {isGroup, wantGroup},
	"dragoman.v1.RoleRule.tenant":        {isName, wantPlain},
	"dragoman.v1.RoleRule.team":          {isName, wantPlain},
	"dragoman.v1.Provider.project":       {isName, wantPlain},
	"dragoman.v1.Provider.location":      {isName, wantPlain},
	"dragoman.v1.Provider.region":        {isName, wantPlain},
	"dragoman.v1.Provider.api_version":   {isName, wantPlain},
	"dragoman.v1.Provider.models":        {isModelName, wantModelName},
	"dragoman.v1.Model.name":             {isModelName, wantModelName},
	"dragoman.v1.Model.id":               {isModelName, wantModelName},
	"dragoman.v1.Model.aliases":          {isModelName, wantModelName},
	"dragoman.v1.Model.versions":         {isModelName, wantModelName},
	"dragoman.v1.EntraCredential.tenant": {isName, wantPlain},
	"dragoman.v1.EntraCredential.client": {isName, wantPlain},
	"dragoman.v1.EntraCredential.scope":  {isModelName, wantVisible},
	"dragoman.v1.Route.model":            {isModelName, wantModelName},
	"dragoman.v1.Canary.model":           {isModelName, wantModelName},
	"dragoman.v1.Mirror.model":           {isModelName, wantModelName},
	"dragoman.v1.Candidate.variant":      {isName, wantName},
	"dragoman.v1.Rule.name":              {isName, wantName},
	"dragoman.v1.Provider.data_region":   {isName, wantPlain},
	"dragoman.v1.Listen.headers":         {isHeaderName, wantHeaderName},
	"dragoman.v1.EndpointEmbedder.model": {isModelName, wantModelName},
	"dragoman.v1.Jwt.name":               {isName, wantName},
	"dragoman.v1.Jwt.issuer":             {isIssuer, wantIssuer},
	"dragoman.v1.Jwt.audiences":          {isIssuer, wantIssuer},
	"dragoman.v1.CallerClaims.tenant":    {isIssuer, wantIssuer},
	"dragoman.v1.CallerClaims.team":      {isIssuer, wantIssuer},
	"dragoman.v1.CallerClaims.user":      {isIssuer, wantIssuer},
	"dragoman.v1.ClientCertificate.name": {isName, wantName},
	"dragoman.v1.VaultSecret.path":       {isVaultPath, wantVaultPath},
	"dragoman.v1.VaultSecret.mount":      {isVaultPath, wantVaultPath},
	"dragoman.v1.VaultSecret.field":      {isVaultField, wantVisible},
	"dragoman.v1.Vault.namespace":        {isVaultPath, wantVaultPath},
	"dragoman.v1.VaultKubernetes.mount":  {isVaultPath, wantVaultPath},
	"dragoman.v1.VaultKubernetes.role":   {isVaultField, wantVisible},
	"dragoman.v1.VaultAppRole.mount":     {isVaultPath, wantVaultPath},
	"dragoman.v1.VaultAppRole.role_id":   {isVaultField, wantVisible},
}

const (
	wantName       = "must be 1 to 63 letters and digits, with . _ or - between them: it becomes part of names in Envoy and in metrics"
	wantHeaderName = "must be a header's name of 1 to 63 letters, digits, - and _, and none of the gateway's own or one that carries a credential"
	wantPlain      = "must be 1 to 63 letters and digits, with . _ or - between them"
	wantVisible    = "must be 1 to 128 visible ASCII characters"
	wantGroup      = "must be 1 to 256 characters, none of them a control character"
	wantIssuer     = "must be 1 to 255 visible ASCII characters"
	wantModelName  = "must be 1 to 128 visible ASCII characters without quotes, backslash, comma and *"
)

// required are the fields without which their message means nothing.
var required = map[protoreflect.FullName][]protoreflect.Name{
	"dragoman.v1.Provider":          {"name"},
	"dragoman.v1.Model":             {"name", "provider"},
	"dragoman.v1.CatalogueFile":     {"file"},
	"dragoman.v1.Price":             {"input", "output"},
	"dragoman.v1.LongPrice":         {"above", "input", "output"},
	"dragoman.v1.Route":             {"model"},
	"dragoman.v1.Candidate":         {"model"},
	"dragoman.v1.Canary":            {"model"},
	"dragoman.v1.RampStep":          {"after", "share"},
	"dragoman.v1.Mirror":            {"model"},
	"dragoman.v1.Downgrade":         {"candidates"},
	"dragoman.v1.Rule":              {"when"},
	"dragoman.v1.Refusal":           {"message"},
	"dragoman.v1.Tenant":            {"name"},
	"dragoman.v1.Team":              {"name"},
	"dragoman.v1.Key":               {"name", "hash"},
	"dragoman.v1.Organisation":      {"name"},
	"dragoman.v1.User":              {"name"},
	"dragoman.v1.ModelLimits":       {"models"},
	"dragoman.v1.BudgetOverride":    {"until"},
	"dragoman.v1.Postgres":          {"dsn"},
	"dragoman.v1.ServerTls":         {"certificate", "private_key"},
	"dragoman.v1.AdminToken":        {"name", "hash", "role"},
	"dragoman.v1.Login":             {"name"},
	"dragoman.v1.OidcLogin":         {"issuer", "client_id"},
	"dragoman.v1.GithubLogin":       {"client_id", "client_secret"},
	"dragoman.v1.RoleRule":          {"role"},
	"dragoman.v1.EndpointEmbedder":  {"provider", "model"},
	"dragoman.v1.Jwt":               {"issuer"},
	"dragoman.v1.ClientCertificate": {"san", "caller"},
	"dragoman.v1.VaultSecret":       {"path"},
	"dragoman.v1.VaultKubernetes":   {"role"},
	"dragoman.v1.VaultAppRole":      {"role_id", "secret_id"},
}

// fields checks every value by itself, against the tables above.
func (b *builder) fields(m protoreflect.Message, path string) {
	md := m.Descriptor()
	for _, name := range required[md.FullName()] {
		if fd := md.Fields().ByName(name); !m.Has(fd) {
			b.fail(join(path, string(name)), "is missing")
		}
	}
	list := md.Fields()
	for i := range list.Len() { // in the order of the proto: Range has none, and problems must have one
		fd := list.Get(i)
		if !m.Has(fd) {
			continue
		}
		at, v := join(path, string(fd.Name())), m.Get(fd)
		switch {
		case fd.IsList():
			for i := range v.List().Len() {
				b.value(fd, v.List().Get(i), fmt.Sprintf("%s[%d]", at, i))
			}
		case fd.IsMap():
			for _, key := range sortedKeys(v.Map()) {
				b.value(fd, v.Map().Get(protoreflect.ValueOfString(key).MapKey()), join(at, key))
			}
		default:
			b.value(fd, v, at)
		}
	}
}

func (b *builder) value(fd protoreflect.FieldDescriptor, v protoreflect.Value, path string) {
	name := fd.FullName()
	switch x := v.Interface().(type) {
	case protoreflect.Message:
		if d, ok := x.Interface().(*durationpb.Duration); ok {
			b.inBounds(name, d.AsDuration().Seconds(), path, true)
			return
		}
		b.fields(x, path)
	case string:
		if set, ok := words[name]; ok && !slices.Contains(set, x) {
			b.fail(path, "must be %s%s", oneOf(set), didYouMean(x, set))
		}
		if form, ok := forms[name]; ok && !form.ok(x) {
			b.fail(path, "%s", form.want)
		}
	case uint32:
		b.inBounds(name, float64(x), path, false)
	case uint64:
		b.inBounds(name, float64(x), path, false)
	case float64:
		b.inBounds(name, x, path, false)
	}
}

func (b *builder) inBounds(name protoreflect.FullName, v float64, path string, duration bool) {
	limit, ok := bounds[name]
	if !ok || v >= limit.min && v <= limit.max && !math.IsNaN(v) {
		return
	}
	show := func(x float64) string { return fmt.Sprintf("%.15g", x) }
	if duration {
		show = func(x float64) string { return time.Duration(x * float64(time.Second)).String() }
	}
	b.fail(path, "must be from %s to %s", show(limit.min), show(limit.max))
}

func sortedKeys(m protoreflect.Map) []string {
	var keys []string
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k.String())
		return true
	})
	slices.Sort(keys)
	return keys
}
