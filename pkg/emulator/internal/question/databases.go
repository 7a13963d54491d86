package question

import (
	"strings"
)

// rds are the actions of Amazon RDS, Aurora, DocumentDB and Neptune (Amazon RDS User
// Guide, "Identity-based policy examples for Amazon RDS"), which keep identifiers in
// lower case.
var rds = family{
	rules: map[string]rule{
		"CopyDBSnapshot": asks("", rdsTo("snapshot", "SourceDBSnapshotIdentifier"), rdsMade("snapshot", "TargetDBSnapshotIdentifier")),
		"CopyDBClusterSnapshot": asks("", rdsTo("cluster-snapshot", "SourceDBClusterSnapshotIdentifier"),
			rdsMade("cluster-snapshot", "TargetDBClusterSnapshotIdentifier")),
		"CopyDBParameterGroup": asks("", rdsTo("pg", "SourceDBParameterGroupIdentifier"), rdsMade("pg", "TargetDBParameterGroupIdentifier")),
		"CopyDBClusterParameterGroup": asks("", rdsTo("cluster-pg", "SourceDBClusterParameterGroupIdentifier"),
			rdsMade("cluster-pg", "TargetDBClusterParameterGroupIdentifier")),
		"CopyOptionGroup":  asks("", rdsTo("og", "SourceOptionGroupIdentifier"), rdsMade("og", "TargetOptionGroupIdentifier")),
		"CreateDBSnapshot": asks("", rdsMade("snapshot", "DBSnapshotIdentifier"), rdsTo("db", "DBInstanceIdentifier")),
		"CreateDBClusterSnapshot": asks("", rdsMade("cluster-snapshot", "DBClusterSnapshotIdentifier"),
			rdsTo("cluster", "DBClusterIdentifier")),
		"CreateDBInstance": asks("", append([]source{rdsMade("db", "DBInstanceIdentifier")}, rdsParts...)...),
		"CreateDBCluster":  asks("", append([]source{rdsMade("cluster", "DBClusterIdentifier")}, rdsParts...)...),
		"DeleteDBInstance": asks("", rdsTo("db", "DBInstanceIdentifier")),
		"DeleteDBCluster": asks("", rdsTo("cluster", "DBClusterIdentifier"),
			ifNamed("FinalDBSnapshotIdentifier", rdsTo("cluster-snapshot", "FinalDBSnapshotIdentifier"))),
		"RestoreDBInstanceFromDBSnapshot": asks("", append([]source{
			rdsMade("db", "DBInstanceIdentifier"), ifNamed("DBSnapshotIdentifier", rdsTo("snapshot", "DBSnapshotIdentifier")),
		}, rdsParts...)...),
		"RestoreDBClusterFromSnapshot": asks("", append([]source{
			rdsMade("cluster", "DBClusterIdentifier"), rdsSnapshot("SnapshotIdentifier"),
		}, rdsParts...)...),
	},
	otherwise: rdsOther,
	lower:     true,
	members: map[string][]string{
		"DbInstanceName": {"DBInstanceIdentifier"}, "DbClusterInstanceName": {"DBClusterIdentifier"},
		"ParameterGroupName": {"DBParameterGroupName"}, "ClusterParameterGroupName": {"DBClusterParameterGroupName"},
		"SubnetGroupName": {"DBSubnetGroupName"}, "OptionGroupName": {"OptionGroupName"}, "SnapshotName": {"DBSnapshotIdentifier"},
		"ClusterSnapshotName": {"DBClusterSnapshotIdentifier"}, "SecurityGroupName": {"DBSecurityGroupName"},
		"GlobalCluster": {"GlobalClusterIdentifier"}, "DbClusterEndpoint": {"DBClusterEndpointIdentifier"},
		"SubscriptionName": {"SubscriptionName"},
	},
	keys: func(a *asker, q *Question) {
		setRdsTags(a, q)
		for name, member := range map[string]string{
			"rds:DatabaseEngine": "Engine", "rds:DatabaseClass": "DBInstanceClass", "rds:DatabaseName": "DBName|DatabaseName",
			"rds:StorageSize": "AllocatedStorage", "rds:StorageEncrypted": "StorageEncrypted", "rds:MultiAz": "MultiAZ",
			"rds:Piops": "Iops", "rds:ManageMasterUserPassword": "ManageMasterUserPassword",
		} {
			if s := firstOf(a.Input, strings.Split(member, "|")...); s != "" {
				q.Keys.Set(name, s)
			}
		}
	},
	computed: []string{
		"rds:req-tag/", "rds:DatabaseEngine", "rds:DatabaseClass", "rds:DatabaseName", "rds:StorageSize", "rds:StorageEncrypted",
		"rds:MultiAz", "rds:Piops", "rds:ManageMasterUserPassword", "rds:db-tag/", "rds:cluster-tag/", "rds:snapshot-tag/",
		"rds:cluster-snapshot-tag/", "rds:pg-tag/", "rds:cluster-pg-tag/", "rds:og-tag/", "rds:subgrp-tag/", "rds:es-tag/",
		"rds:secgrp-tag/", "rds:ri-tag/",
	},
	passes:  "rds.amazonaws.com",
	passing: map[string]string{".MonitoringRoleArn": "monitoring.rds.amazonaws.com"},
}

// setRdsTags sets the older names of the keys of tags in a request.
func setRdsTags(a *asker, q *Question) {
	for _, t := range tagged(a.Input, a.Operation) {
		if !t.removed {
			q.Keys.Set("rds:req-tag/"+t.key, t.value)
		}
	}
}

// rdsParts are the groups that an instance or cluster may be made with, and the
// cluster of an instance.
var rdsParts = []source{
	rdsPart("cluster", "DBClusterIdentifier", "CreateDBInstance"), rdsPart("pg", "DBParameterGroupName", ""),
	rdsPart("cluster-pg", "DBClusterParameterGroupName", ""), rdsPart("og", "OptionGroupName", ""),
	rdsPart("subgrp", "DBSubnetGroupName", ""), rdsPart("secgrp", "DBSecurityGroups", ""),
}

// rdsPart is a source that is asked only if the member has a value, and perhaps only
// for one operation.
func rdsPart(kind, member, operation string) source {
	s := ifNamed(member, rdsTo(kind, member))
	return func(a *asker) []target {
		if operation != "" && a.Operation != operation {
			return nil
		}
		return s(a)
	}
}

func rdsTo(kind, member string) source { return to(kind + ":<" + member + ":lower>") }

func rdsMade(kind, member string) source { return maker(kind + ":<" + member + ":lower>") }

// rdsSnapshot is a snapshot that may be one of a cluster or of an instance.
func rdsSnapshot(member string) source {
	return func(a *asker) []target {
		if strings.Contains(str(a.Input, member), ":snapshot:") {
			return rdsTo("snapshot", member)(a)
		}
		return rdsTo("cluster-snapshot", member)(a)
	}
}

// rdsListed are the types of lists, which are asked about any one of the type if the
// call names none.
var rdsListed = map[string]string{
	"DescribeDBInstances": "db", "DescribeDBClusters": "cluster", "DescribeDBSnapshots": "snapshot",
	"DescribeDBClusterSnapshots": "cluster-snapshot", "DescribeDBParameterGroups": "pg", "DescribeDBClusterParameterGroups": "cluster-pg",
	"DescribeDBSubnetGroups": "subgrp", "DescribeOptionGroups": "og", "DescribeEventSubscriptions": "es",
	"DescribeDBClusterEndpoints": "cluster-endpoint", "DescribeDBSecurityGroups": "secgrp",
}

func rdsOther(a *asker) {
	if strings.Contains(a.Operation, "DBProx") && str(a.Input, "DBProxyName") != "" && a.listed(a.action("")) != nil {
		// The id of a proxy, which is in its ARN, is not its name.
		a.ask("", to("db-proxy:<?id>")(a)...)
		return
	}
	before := len(a.out)
	general(a)
	kind := rdsListed[a.Operation]
	if kind != "" && len(a.out) == before+1 && a.out[before].Resource == "*" {
		a.out = a.out[:before]
		a.ask("", to(kind+":<?name>")(a)...)
	}
}

// rdsData are the actions of the RDS Data API, which reads the secret on the
// caller's behalf (Amazon Aurora User Guide, "Authorizing access to the Amazon RDS
// Data API").
var rdsData = family{
	otherwise: func(a *asker) {
		a.ask("", to("<resourceArn|dbClusterOrInstanceArn|?name>")(a)...)
		for _, member := range []string{"secretArn", "awsSecretStoreArn"} {
			if id := str(a.Input, member); id != "" {
				a.prefixed("secretsmanager", func(b *asker) { b.ask("GetSecretValue", b.secret(id)) })
			}
		}
	},
}

// elastiCache are the actions of Amazon ElastiCache (Amazon ElastiCache User Guide,
// "Resource-level permissions"), which keeps names in lower case.
var elastiCache = family{
	rules: map[string]rule{
		"CopySnapshot": asks("", to("snapshot:<SourceSnapshotName:lower>"), to("snapshot:<TargetSnapshotName:lower>")),
		"CopyServerlessCacheSnapshot": asks("", to("serverlesscachesnapshot:<SourceServerlessCacheSnapshotName:lower>"),
			to("serverlesscachesnapshot:<TargetServerlessCacheSnapshotName:lower>")),
		"CreateCacheCluster": asks("", maker("cluster:<CacheClusterId:lower>"), elastiPart("parametergroup", "CacheParameterGroupName"),
			elastiPart("subnetgroup", "CacheSubnetGroupName"), elastiPart("securitygroup", "CacheSecurityGroupNames"),
			elastiPart("replicationgroup", "ReplicationGroupId"), elastiPart("snapshot", "SnapshotName")),
		"CreateReplicationGroup": asks("", maker("replicationgroup:<ReplicationGroupId:lower>"),
			elastiPart("parametergroup", "CacheParameterGroupName"), elastiPart("subnetgroup", "CacheSubnetGroupName"),
			elastiPart("securitygroup", "CacheSecurityGroupNames"), elastiPart("cluster", "PrimaryClusterId"),
			elastiPart("usergroup", "UserGroupIds"), elastiPart("snapshot", "SnapshotName")),
		"CreateSnapshot": asks("", maker("snapshot:<SnapshotName:lower>"), elastiPart("cluster", "CacheClusterId"),
			elastiPart("replicationgroup", "ReplicationGroupId")),
	},
	lower: true,
	keys: func(a *asker, q *Question) {
		if s := str(a.Input, "Engine"); s != "" {
			q.Keys.Set("elasticache:EngineType", s)
		}
		if a.Operation == "CreateCacheCluster" || a.Operation == "CreateReplicationGroup" {
			q.Keys.Set("elasticache:AuthTokenEnabled", isSet(a.Input["AuthToken"]))
		}
	},
	computed: []string{"elasticache:EngineType", "elasticache:AuthTokenEnabled"},
}

func elastiPart(kind, member string) source { return ifNamed(member, to(kind+":<"+member+":lower>")) }

// searching are the actions of Amazon OpenSearch Service (Amazon OpenSearch Service
// Developer Guide, "Identity and Access Management in Amazon OpenSearch Service").
// What is no call of the API is one to a domain, whose name is in the host.
var searching = family{
	rules: map[string]rule{
		"": func(a *asker) {
			method := strings.ToUpper(a.Method)
			if method == "" {
				method = "GET"
			}
			action := "ESHttp" + method[:1] + strings.ToLower(method[1:])
			for _, t := range to("domain/<?name>")(a) {
				t.arn, t.spelled = t.arn+a.Path, t.spelled+a.Path
				a.ask(action, t)
			}
		},
		"DescribeDomains":              asks("", to("domain/<DomainNames>")),
		"DescribeElasticsearchDomains": asks("", to("domain/<DomainNames>")),
		"CreateDomain":                 asks("", maker("domain/<DomainName>")),
		"CreateElasticsearchDomain":    asks("", maker("domain/<DomainName>")),
		"CreateApplication":            asks("", star),
	},
	otherwise: func(a *asker) {
		action := a.listed(a.action(""))
		if action != nil && len(action.Types) == 1 && action.Types[0].Name == "application" {
			if id := str(a.Input, "id"); id != "" {
				a.ask("", to("arn:$P:opensearch:$R:$A:application/<id>")(a)...)
				return
			}
		}
		general(a)
	},
}

// athena are the actions of Amazon Athena (Amazon Athena User Guide, "IAM policies
// for accessing workgroups"). What is named by an id is in the workgroup in which it
// was started.
var athena = family{
	rules: map[string]rule{
		"CreateWorkGroup":   asks("", maker("workgroup/<Name>")),
		"CreateDataCatalog": asks("", maker("datacatalog/<Name>")),
	},
	otherwise: func(a *asker) {
		action := a.listed(a.action(""))
		switch {
		case action == nil || len(action.Types) == 0:
			general(a)
		case str(a.Input, "CatalogName") != "":
			a.ask("", to("datacatalog/<CatalogName>")(a)...)
		case strings.Contains(a.Operation, "DataCatalog") && str(a.Input, "Name") != "":
			a.ask("", to("datacatalog/<Name>")(a)...)
		case usesType(action.Types, "workgroup"):
			a.ask("", workgroups(a)...)
		default:
			general(a)
		}
	},
}

// athenaIDs are the members that name something in a workgroup.
var athenaIDs = []string{
	"QueryExecutionId", "QueryExecutionIds", "NamedQueryId", "NamedQueryIds", "SessionId", "NotebookId", "CalculationExecutionId",
}

func workgroups(a *asker) []target {
	groups := named("WorkGroup", "workgroup/<WorkGroup>")(a)
	for _, member := range athenaIDs {
		for _, id := range strs(a.Input, member) {
			if known, ok := a.find(Fact{Kind: Workgroup, Name: id}); ok && known.Text != "" {
				groups = append(groups, target{arn: a.arn("workgroup/" + known.Text)})
			} else {
				groups = append(groups, to("workgroup/<?name>")(a)...)
			}
		}
	}
	if groups == nil {
		return to("workgroup/<'primary'>")(a)
	}
	return groups
}

// glue are the actions of AWS Glue (AWS Glue Developer Guide, "Specifying AWS Glue
// resource ARNs": an operation on a table needs permission on the catalog and the
// database as well).
var glue = family{
	rules: map[string]rule{
		"GetTables":    asks("", catalog, glueTo("database/<DatabaseName>"), glueTo("table/<DatabaseName>/<?name>")),
		"SearchTables": asks("", catalog, glueTo("database/<?name>"), glueTo("table/<?name>/<?name>")),
		"DeleteDatabase": asks("", catalog, glueTo("database/<Name>"), glueTo("table/<Name>/<?name>"),
			glueTo("userDefinedFunction/<Name>/<?name>")),
		"GetDatabases": asks("", catalog, glueTo("database/<?name>")),
		"GetUserDefinedFunctions": asks("", catalog, glueTo("database/<DatabaseName|?name>"),
			glueTo("userDefinedFunction/<DatabaseName|?name>/<?name>")),
		"GetTags":               asks("", to("<ResourceArn>")),
		"TagResource":           asks("", to("<ResourceArn>")),
		"UntagResource":         asks("", to("<ResourceArn>")),
		"GetConnections":        asks("", catalog, glueTo("connection/<?name>")),
		"GetConnection":         asks("", catalog, glueTo("connection/<Name>")),
		"UpdateConnection":      asks("", catalog, glueTo("connection/<Name>")),
		"DeleteConnection":      asks("", catalog, glueTo("connection/<ConnectionName>")),
		"BatchDeleteConnection": asks("", catalog, glueTo("connection/<ConnectionNameList>")),
		"CreateConnection":      asks("", catalog, glueTo("connection/<ConnectionInput.Name>")),
	},
	otherwise: glueOther,
	passes:    "glue.amazonaws.com",
	roleNames: true,
}

func init() {
	const database, function = "database/<DatabaseName>", "userDefinedFunction/<DatabaseName>/<FunctionName|FunctionInput.FunctionName>"
	glue.on(asks("", catalog, glueTo("database/<Name|DatabaseInput.Name>")), "GetDatabase CreateDatabase UpdateDatabase")
	glue.on(asks("", catalog, glueTo(database), glueTo(function)), `GetUserDefinedFunction CreateUserDefinedFunction
		UpdateUserDefinedFunction DeleteUserDefinedFunction`)
}

func glueOther(a *asker) {
	action := a.listed(a.action(""))
	if action == nil || str(a.Input, "DatabaseName") == "" || !usesType(action.Types, "table") {
		general(a)
		return
	}
	// "Name" is the table in operations on a table, "TablesToDelete" are several.
	a.ask("", catalog(a)...)
	a.ask("", glueTo("database/<DatabaseName>")(a)...)
	a.ask("", glueTo("table/<DatabaseName>/<TableName|Name|TableInput.Name|TablesToDelete|?name>")(a)...)
}

// catalog is the data catalog of a call.
func catalog(a *asker) []target { return glueTo("catalog")(a) }

// glueTo is the source of what is in a catalog, whose id is an account.
func glueTo(template string) source {
	return rename(to(template), func(a *asker, t *target) {
		if id := str(a.Input, "CatalogId"); isAccount(id) {
			t.arn = withAccount(t.arn, id)
			if t.spelled != "" {
				t.spelled = withAccount(t.spelled, id)
			}
		}
	})
}
