package question_test

const (
	scores = "~dynamodb:table/GameScores"

	tablesPage       = "Amazon DynamoDB Developer Guide, Using identity-based policies (IAM policies) for Amazon DynamoDB"
	transactionsPage = "Amazon DynamoDB Developer Guide, Using IAM with DynamoDB transactions"

	onItems = "dynamodb:GetItem dynamodb:BatchGetItem dynamodb:Query dynamodb:PutItem dynamodb:UpdateItem dynamodb:DeleteItem " +
		"dynamodb:BatchWriteItem"
	partiQLs   = "dynamodb:PartiQLInsert dynamodb:PartiQLUpdate dynamodb:PartiQLDelete dynamodb:PartiQLSelect"
	transacted = "dynamodb:ConditionCheckItem dynamodb:PutItem dynamodb:UpdateItem dynamodb:DeleteItem dynamodb:GetItem"
)

var tableGuides = []guide{
	{
		name: "items of one user", source: fineGrained,
		doc: document(allowIf(onItems, scores, `{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${aws:PrincipalTag/team}"]}}`)),
		calls: []guided{
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"red"},"GameTitle":{"S":"g"}}}`, true},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"blue"},"GameTitle":{"S":"red"}}}`, false},
			{"dynamodb.BatchWriteItem", `{"RequestItems":{"GameScores":[{"PutRequest":{"Item":{"UserId":{"S":"red"},"n":{"N":"1"}}}},
				{"DeleteRequest":{"Key":{"UserId":{"S":"red"}}}}]}}`, true},
			{"dynamodb.BatchWriteItem", `{"RequestItems":{"GameScores":[{"PutRequest":{"Item":{"UserId":{"S":"red"},"n":{"N":"1"}}}},
				{"DeleteRequest":{"Key":{"UserId":{"S":"blue"}}}}]}}`, false},
			{"dynamodb.Query", `{"TableName":"GameScores","KeyConditionExpression":"UserId = :u AND begins_with(GameTitle, :g)",
				"ExpressionAttributeValues":{":u":{"S":"red"},":g":{"S":"a"}}}`, true},
			{"dynamodb.Query", `{"TableName":"GameScores","KeyConditionExpression":"GameTitle = :g and :u = #u",
				"ExpressionAttributeNames":{"#u":"UserId"},"ExpressionAttributeValues":{":u":{"S":"blue"},":g":{"S":"red"}}}`, false},
			{"dynamodb.Query", `{"TableName":"GameScores","KeyConditions":{"UserId":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"red"}]}}}`, true},
			{"dynamodb.Scan", `{"TableName":"GameScores"}`, false},
			// A value that is not there: nobody knows what is written.
			{"dynamodb.Query", `{"TableName":"GameScores","KeyConditionExpression":"UserId = :nothing"}`, false},
		},
	},
	{
		name: "items of one user, some attributes", source: fineGrained,
		doc: document(allowIf(onItems, scores, `{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${aws:PrincipalTag/team}"],
			"dynamodb:Attributes":["UserId","GameTitle","Wins","Losses","TopScore","TopScoreDateTime"]},
			"StringEqualsIfExists":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES"}}`)),
		calls: []guided{
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"red"},"GameTitle":{"S":"g"}},"ProjectionExpression":"Wins"}`, true},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"red"},"GameTitle":{"S":"g"}},"AttributesToGet":["Wins"]}`, true},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"blue"},"GameTitle":{"S":"g"}},"ProjectionExpression":"Wins"}`, false},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"red"},"GameTitle":{"S":"g"}},"ProjectionExpression":"Secret"}`, false},
			// All attributes are asked for, though no member says so.
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"red"},"GameTitle":{"S":"g"}}}`, false},
			{"dynamodb.TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"GameScores","Key":{"UserId":{"S":"red"}}}}]}`, false},
			{"dynamodb.TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"GameScores","Key":{"UserId":{"S":"red"}},"ProjectionExpression":"Wins"}}]}`, true},
			{"dynamodb.BatchGetItem", `{"RequestItems":{"GameScores":{"Keys":[{"UserId":{"S":"red"}}],"ProjectionExpression":"Wins,Losses"}}}`, true},
			{"dynamodb.BatchGetItem", `{"RequestItems":{"GameScores":{"Keys":[{"UserId":{"S":"red"}}]}}}`, false},
			{"dynamodb.Query", `{"TableName":"GameScores","Select":"SPECIFIC_ATTRIBUTES","ProjectionExpression":"Wins","KeyConditionExpression":"UserId=:u",
				"ExpressionAttributeValues":{":u":{"S":"red"}}}`, true},
			{"dynamodb.Query", `{"TableName":"GameScores","Select":"COUNT","KeyConditionExpression":"UserId=:u","ExpressionAttributeValues":{":u":{"S":"red"}}}`, false},
			{"dynamodb.Query", `{"TableName":"GameScores","KeyConditionExpression":"UserId=:u","ExpressionAttributeValues":{":u":{"S":"red"}}}`, false},
			{"dynamodb.PutItem", `{"TableName":"GameScores","Item":{"UserId":{"S":"red"},"GameTitle":{"S":"g"},"Wins":{"N":"1"}}}`, true},
			{"dynamodb.PutItem", `{"TableName":"GameScores","Item":{"UserId":{"S":"red"},"GameTitle":{"S":"g"},"Admin":{"BOOL":true}}}`, false},
		},
	},
	{
		name: "reading items of one user", source: fineGrained,
		doc: document(allowIf("dynamodb:GetItem dynamodb:BatchGetItem dynamodb:Query", scores,
			`{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${aws:PrincipalTag/team}"]}}`)),
		calls: []guided{
			{"dynamodb.BatchGetItem", `{"RequestItems":{"GameScores":{"Keys":[{"UserId":{"S":"red"},"GameTitle":{"S":"g"}}]}}}`, true},
			{"dynamodb.BatchGetItem", `{"RequestItems":{"GameScores":{"Keys":[{"UserId":{"S":"red"},"GameTitle":{"S":"g"}},{"UserId":{"S":"blue"},"GameTitle":{"S":"g"}}]}}}`, false},
			{"dynamodb.PutItem", `{"TableName":"GameScores","Item":{"UserId":{"S":"red"},"GameTitle":{"S":"g"}}}`, false},
		},
	},
	{
		name: "some attributes", source: fineGrained,
		doc: document(allowIf("dynamodb:UpdateItem dynamodb:GetItem dynamodb:Query dynamodb:BatchGetItem dynamodb:Scan", scores,
			`{"ForAllValues:StringEquals":{"dynamodb:Attributes":["UserId","TopScore"]},"StringEqualsIfExists":{
			"dynamodb:Select":"SPECIFIC_ATTRIBUTES","dynamodb:ReturnValues":["NONE","UPDATED_OLD","UPDATED_NEW"]}}`)),
		calls: []guided{
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET TopScore = TopScore + :one",
				"ExpressionAttributeValues":{":one":{"N":"1"}}}`, true},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET #w = if_not_exists(#w, :z)",
				"ExpressionAttributeNames":{"#w":"Wins"},"ExpressionAttributeValues":{":z":{"N":"1"}}}`, false},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET TopScore = :one",
				"ReturnValues":"ALL_OLD"}`, false},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET TopScore = :one",
				"ConditionExpression":"Wins = :one"}`, false},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"AttributeUpdates":{"Wins":{"Action":"PUT"}}}`, false},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"ProjectionExpression":"TopScore, UserId"}`, true},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"ProjectionExpression":"TopScore, Secret.inner[0]"}`, false},
			{"dynamodb.Scan", `{"TableName":"GameScores","ProjectionExpression":"TopScore","FilterExpression":"TopScore > :n"}`, true},
			{"dynamodb.Scan", `{"TableName":"GameScores","ProjectionExpression":"TopScore","FilterExpression":"Wins > :n"}`, false},
			{"dynamodb.Scan", `{"TableName":"GameScores"}`, false},
			{"dynamodb.PutItem", `{"TableName":"GameScores","Item":{"UserId":{"S":"a"}}}`, false},
		},
	},
	{
		// The key has a value in each read, so that it need not be IfExists.
		name: "some attributes, reading only", source: fineGrained,
		doc: document(allowIf("dynamodb:GetItem dynamodb:Query dynamodb:BatchGetItem dynamodb:Scan", scores,
			`{"ForAllValues:StringEquals":{"dynamodb:Attributes":["UserId","TopScore"]},"StringEquals":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES"}}`)),
		calls: []guided{
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"ProjectionExpression":"TopScore"}`, true},
			{"dynamodb.BatchGetItem", `{"RequestItems":{"GameScores":{"Keys":[{"UserId":{"S":"a"}}],"AttributesToGet":["TopScore"]}}}`, true},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}}}`, false},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}}}`, false},
		},
	},
	{
		// Nor need this one be in writes.
		name: "some attributes, writing only", source: fineGrained,
		doc: document(allowIf("dynamodb:UpdateItem", scores, `{"ForAllValues:StringEquals":{"dynamodb:Attributes":["UserId","TopScore"]},
			"StringEquals":{"dynamodb:ReturnValues":["NONE","UPDATED_OLD","UPDATED_NEW"]}}`)),
		calls: []guided{
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET TopScore = :one"}`, true},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET TopScore = :one","ReturnValues":"ALL_NEW"}`, false},
		},
	},
	{
		name: "some attributes by pattern", source: fineGrained,
		doc: document(allowIf("dynamodb:GetItem", scores,
			`{"ForAllValues:StringLike":{"dynamodb:Attributes":["UserId","TopScore*"]},"StringEquals":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES"}}`)),
		calls: []guided{
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"ProjectionExpression":"TopScoreDateTime"}`, true},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"ProjectionExpression":"Wins"}`, false},
		},
	},
	{
		name: "no updates of some attributes", source: fineGrained,
		doc: document(allowIf("dynamodb:UpdateItem", scores,
			`{"ForAllValues:StringNotLike":{"dynamodb:Attributes":["FreeGamesAvailable","BossLevelUnlocked"]},
			"StringEquals":{"dynamodb:ReturnValues":["NONE","UPDATED_OLD","UPDATED_NEW"]}}`)),
		calls: []guided{
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET Wins = :w"}`, true},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET Wins = :w","ReturnValues":"UPDATED_NEW"}`, true},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET Wins = :w, BossLevelUnlocked = :w"}`, false},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}},"UpdateExpression":"SET Wins = :w","ReturnValues":"ALL_OLD"}`, false},
		},
	},
	{
		name: "projected attributes of an index", source: fineGrained,
		doc: document(allowIf("dynamodb:Query", "~dynamodb:table/GameScores/index/TopScoreDateTimeIndex",
			`{"ForAllValues:StringEquals":{"dynamodb:Attributes":["TopScoreDateTime","GameTitle","Wins"]},
			"StringEquals":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES"}}`)),
		calls: []guided{
			{"dynamodb.Query", `{"TableName":"GameScores","IndexName":"TopScoreDateTimeIndex","Select":"SPECIFIC_ATTRIBUTES",
				"ProjectionExpression":"Wins,GameTitle","KeyConditionExpression":"GameTitle=:g","ExpressionAttributeValues":{":g":{"S":"x"}}}`, true},
			{"dynamodb.Query", `{"TableName":"GameScores","IndexName":"TopScoreDateTimeIndex",
				"KeyConditionExpression":"GameTitle=:g","ExpressionAttributeValues":{":g":{"S":"x"}}}`, false},
			{"dynamodb.Query", `{"TableName":"GameScores","Select":"SPECIFIC_ATTRIBUTES",
				"KeyConditionExpression":"GameTitle=:g","ExpressionAttributeValues":{":g":{"S":"x"}}}`, false},
		},
	},
	{
		name: "all projected attributes of an index", source: fineGrained,
		doc: document(allowIf("dynamodb:Query", "~dynamodb:table/GameScores/index/TopScoreDateTimeIndex",
			`{"StringEquals":{"dynamodb:Select":"ALL_PROJECTED_ATTRIBUTES"}}`)),
		calls: []guided{
			{"dynamodb.Query", `{"TableName":"GameScores","IndexName":"TopScoreDateTimeIndex","Select":"ALL_PROJECTED_ATTRIBUTES",
				"KeyConditionExpression":"GameTitle=:g","ExpressionAttributeValues":{":g":{"S":"x"}}}`, true},
			{"dynamodb.Query", `{"TableName":"GameScores","IndexName":"TopScoreDateTimeIndex",
				"KeyConditionExpression":"GameTitle=:g","ExpressionAttributeValues":{":g":{"S":"x"}}}`, true},
			{"dynamodb.Query", `{"TableName":"GameScores","IndexName":"TopScoreDateTimeIndex","Select":"ALL_ATTRIBUTES",
				"KeyConditionExpression":"GameTitle=:g","ExpressionAttributeValues":{":g":{"S":"x"}}}`, false},
			{"dynamodb.Query", `{"TableName":"GameScores","KeyConditionExpression":"UserId=:g","ExpressionAttributeValues":{":g":{"S":"x"}}}`, false},
		},
	},
	{
		name: "some attributes and items", source: fineGrained,
		doc: document(allowIf("dynamodb:UpdateItem dynamodb:GetItem dynamodb:Query dynamodb:BatchGetItem", scores+" "+scores+"/index/TopScoreDateTimeIndex",
			`{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${aws:PrincipalTag/team}"],"dynamodb:Attributes":["UserId","attribute-A","attribute-B"]},
			"StringEqualsIfExists":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES","dynamodb:ReturnValues":["NONE","UPDATED_OLD","UPDATED_NEW"]}}`)),
		calls: []guided{
			{"dynamodb.Query", `{"TableName":"GameScores","IndexName":"TopScoreDateTimeIndex","Select":"SPECIFIC_ATTRIBUTES","ProjectionExpression":"#a",
				"KeyConditionExpression":"UserId=:u","ExpressionAttributeNames":{"#a":"attribute-A"},"ExpressionAttributeValues":{":u":{"S":"red"}}}`, true},
			{"dynamodb.Query", `{"TableName":"GameScores","IndexName":"TopScoreDateTimeIndex","Select":"SPECIFIC_ATTRIBUTES","ProjectionExpression":"#a",
				"KeyConditionExpression":"UserId=:u","ExpressionAttributeNames":{"#a":"attribute-A"},"ExpressionAttributeValues":{":u":{"S":"blue"}}}`, false},
			{"dynamodb.Query", `{"TableName":"GameScores","IndexName":"TopScoreDateTimeIndex","KeyConditionExpression":"UserId=:u",
				"ExpressionAttributeValues":{":u":{"S":"red"}}}`, false},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"red"}},"UpdateExpression":"SET #b=:b",
				"ExpressionAttributeNames":{"#b":"attribute-B"},"ExpressionAttributeValues":{":b":{"N":"1"}}}`, true},
			{"dynamodb.UpdateItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"red"}},"UpdateExpression":"SET #b=:b","ReturnValues":"ALL_NEW",
				"ExpressionAttributeNames":{"#b":"attribute-B"},"ExpressionAttributeValues":{":b":{"N":"1"}}}`, false},
		},
	},
	{
		name: "attributes in the IAM guide", source: "IAM User Guide, Amazon DynamoDB: Allows access to specific attributes",
		doc: document(allowIf(onItems, "arn:aws:dynamodb:*:*:table/Cart", `{"ForAllValues:StringEquals":{"dynamodb:Attributes":["id","n"]},
			"StringEqualsIfExists":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES"}}`)),
		calls: []guided{
			{"dynamodb.Query", `{"TableName":"Cart","ProjectionExpression":"n","KeyConditionExpression":"id=:i","ExpressionAttributeValues":{":i":{"S":"1"}}}`, true},
			{"dynamodb.Query", `{"TableName":"Cart","ProjectionExpression":"n,price","KeyConditionExpression":"id=:i","ExpressionAttributeValues":{":i":{"S":"1"}}}`, false},
			{"dynamodb.BatchWriteItem", `{"RequestItems":{"Cart":[{"PutRequest":{"Item":{"id":{"S":"1"},"n":{"N":"1"}}}}]}}`, true},
			{"dynamodb.BatchWriteItem", `{"RequestItems":{"Cart":[{"PutRequest":{"Item":{"id":{"S":"1"},"price":{"N":"1"}}}}]}}`, false},
		},
	},
	{
		name: "no full scans in PartiQL", source: partiQLPage,
		doc: document(denyIf("dynamodb:PartiQLSelect", "~dynamodb:table/Cart", `{"Bool":{"dynamodb:FullTableScan":["true"]}}`),
			allow(partiQLs, "~dynamodb:table/Cart")),
		calls: []guided{
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE id = '1'"}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"select n from \"Cart\" where ? = id and n > 3","Parameters":[{"S":"1"}]}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE id IN ['1','2'] OR id='3'"}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE n = 1"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE id = '1' OR n = 2"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE id > '1'"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart WHERE NOT (id = '1')"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"INSERT INTO Cart VALUE {'id':'1'}"}`, true},
			{"dynamodb.BatchExecuteStatement", `{"Statements":[{"Statement":"DELETE FROM Cart WHERE id='1'"},{"Statement":"UPDATE Stock SET n=1 WHERE id='1'"}]}`, false},
			{"dynamodb.ExecuteTransaction", `{"TransactStatements":[{"Statement":"EXISTS(SELECT * FROM Cart WHERE id='1')"},{"Statement":"UPDATE Cart SET n=1 WHERE id='1'"}]}`, true},
		},
	},
	{
		name: "all PartiQL statements", source: partiQLPage,
		doc: document(allow(partiQLs, "~dynamodb:table/Cart")),
		calls: []guided{
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart"}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"DELETE FROM Cart WHERE id='1'"}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"DELETE FROM Stock WHERE id='1'"}`, false},
			{"dynamodb.GetItem", `{"TableName":"Cart","Key":{"id":{"S":"1"}}}`, false},
		},
	},
	{
		name: "PartiQL's selects", source: partiQLPage,
		doc: document(allow("dynamodb:PartiQLSelect", "~dynamodb:table/Cart")),
		calls: []guided{
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart"}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"UPDATE Cart SET n=1 WHERE id='1'"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Cart.byUser WHERE u='1'"}`, false},
		},
	},
	{
		name: "PartiQL's inserts into an index", source: partiQLPage,
		doc: document(allow("dynamodb:PartiQLInsert", "~dynamodb:table/Cart/index/byUser")),
		calls: []guided{
			{"dynamodb.ExecuteStatement", `{"Statement":"INSERT INTO \"Cart\".\"byUser\" VALUE {'id':'1'}"}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"INSERT INTO Cart VALUE {'id':'1'}"}`, false},
		},
	},
	{
		name: "PartiQL in transactions only", source: partiQLPage,
		doc: document(allowIf(partiQLs, "~dynamodb:table/Cart", `{"StringEquals":{"dynamodb:EnclosingOperation":["ExecuteTransaction"]}}`)),
		calls: []guided{
			{"dynamodb.ExecuteTransaction", `{"TransactStatements":[{"Statement":"UPDATE Cart SET n=1 WHERE id='1'"}]}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"UPDATE Cart SET n=1 WHERE id='1'"}`, false},
			{"dynamodb.BatchExecuteStatement", `{"Statements":[{"Statement":"UPDATE Cart SET n=1 WHERE id='1'"}]}`, false},
		},
	},
	{
		name: "PartiQL outside transactions only", source: partiQLPage,
		doc: document(denyIf(partiQLs, "~dynamodb:table/Cart", `{"StringEquals":{"dynamodb:EnclosingOperation":["ExecuteTransaction"]}}`),
			allow(partiQLs, "~dynamodb:table/Cart")),
		calls: []guided{
			{"dynamodb.ExecuteTransaction", `{"TransactStatements":[{"Statement":"UPDATE Cart SET n=1 WHERE id='1'"}]}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"UPDATE Cart SET n=1 WHERE id='1'"}`, true},
		},
	},
	{
		name: "own items in PartiQL", source: partiQLPage,
		doc: document(allowIf("dynamodb:PartiQL*", "~dynamodb:table/Cart",
			`{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["red"]},"Null":{"dynamodb:LeadingKeys":"false"}}`)),
		calls: []guided{
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT n FROM Cart WHERE id = 'red'"}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT n FROM Cart WHERE id = 'red' OR id = 'blue'"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"INSERT INTO Cart VALUE {'id': ?, 'n': 'red'}","Parameters":[{"S":"blue"}]}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"INSERT INTO Cart VALUE {'id': ?, 'n': 'x'}","Parameters":[{"S":"red"}]}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"DELETE FROM Cart WHERE id = 'it''s red'"}`, false},
			{"dynamodb.ExecuteStatement", `{"Statement":"DROP TABLE Cart"}`, false},
		},
	},
	{
		name: "transactions", source: transactionsPage,
		doc: document(allow(transacted, "arn:aws:dynamodb:*:*:table/Cart")),
		calls: []guided{
			{"dynamodb.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"Cart","Item":{"id":{"S":"1"}}}},
				{"ConditionCheck":{"TableName":"Cart","Key":{"id":{"S":"2"}},"ConditionExpression":"n=:n"}}]}`, true},
			{"dynamodb.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"Cart","Item":{"id":{"S":"1"}}}},
				{"ConditionCheck":{"TableName":"Stock","Key":{"id":{"S":"2"}},"ConditionExpression":"n=:n"}}]}`, false},
			{"dynamodb.PutItem", `{"TableName":"Cart","Item":{"id":{"S":"1"}}}`, true},
		},
	},
	{
		name: "transactions only", source: transactionsPage,
		doc: document(allowIf(transacted, "arn:aws:dynamodb:*:*:table/Cart",
			`{"ForAnyValue:StringEquals":{"dynamodb:EnclosingOperation":["TransactWriteItems","TransactGetItems"]}}`)),
		calls: []guided{
			{"dynamodb.TransactWriteItems", `{"TransactItems":[{"Delete":{"TableName":"Cart","Key":{"id":{"S":"1"}}}}]}`, true},
			{"dynamodb.TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"Cart","Key":{"id":{"S":"1"}}}}]}`, true},
			{"dynamodb.GetItem", `{"TableName":"Cart","Key":{"id":{"S":"1"}}}`, false},
			{"dynamodb.DeleteItem", `{"TableName":"Cart","Key":{"id":{"S":"1"}}}`, false},
		},
	},
	{
		name: "no transactions", source: transactionsPage,
		doc: document(denyIf(transacted, "arn:aws:dynamodb:*:*:table/Cart",
			`{"ForAnyValue:StringEquals":{"dynamodb:EnclosingOperation":["TransactWriteItems","TransactGetItems"]}}`),
			allow("dynamodb:PutItem dynamodb:DeleteItem dynamodb:GetItem dynamodb:UpdateItem", "arn:aws:dynamodb:*:*:table/Cart")),
		calls: []guided{
			{"dynamodb.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"Cart","Item":{"id":{"S":"1"}}}}]}`, false},
			{"dynamodb.TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"Cart","Key":{"id":{"S":"1"}}}}]}`, false},
			{"dynamodb.PutItem", `{"TableName":"Cart","Item":{"id":{"S":"1"}}}`, true},
			{"dynamodb.GetItem", `{"TableName":"Cart","Key":{"id":{"S":"1"}}}`, true},
		},
	},
	{
		name: "nothing shown when a condition fails", source: transactionsPage,
		doc: document(allowIf(transacted, "arn:aws:dynamodb:*:*:table/Cart", `{"StringEqualsIfExists":{"dynamodb:ReturnValues":"NONE"}}`)),
		calls: []guided{
			{"dynamodb.TransactWriteItems", `{"TransactItems":[{"ConditionCheck":{"TableName":"Cart","Key":{"id":{"S":"2"}},"ConditionExpression":"n=:n"}}]}`, true},
			{"dynamodb.TransactWriteItems", `{"TransactItems":[{"ConditionCheck":{"TableName":"Cart","Key":{"id":{"S":"2"}},"ConditionExpression":"n=:n",
				"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}}]}`, false},
			{"dynamodb.TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"Cart","Item":{"id":{"S":"1"}},"ConditionExpression":"n=:n",
				"ReturnValuesOnConditionCheckFailure":"NONE"}}]}`, true},
			{"dynamodb.GetItem", `{"TableName":"Cart","Key":{"id":{"S":"1"}}}`, true},
			{"dynamodb.PutItem", `{"TableName":"Cart","Item":{"id":{"S":"1"}},"ReturnValues":"ALL_OLD"}`, false},
		},
	},
	{
		name: "streams only", source: tablesPage,
		doc: document(allow("dynamodb:DescribeStream dynamodb:GetRecords dynamodb:GetShardIterator dynamodb:ListStreams", scores+"/stream/*")),
		calls: []guided{
			{"dynamodbstreams.GetRecords", `{"ShardIterator":"~dynamodb:table/GameScores/stream/2020|1|AAA"}`, true},
			{"dynamodbstreams.GetRecords", `{"ShardIterator":"~dynamodb:table/Stock/stream/2020|1|AAA"}`, false},
			{"dynamodbstreams.GetShardIterator", `{"StreamArn":"~dynamodb:table/GameScores/stream/2020","ShardId":"s"}`, true},
			{"dynamodbstreams.DescribeStream", `{"StreamArn":"~dynamodb:table/GameScores/stream/2020"}`, true},
			{"dynamodbstreams.ListStreams", `{"TableName":"GameScores"}`, true},
			{"dynamodbstreams.ListStreams", `{"TableName":"Stock"}`, false},
			{"dynamodb.GetItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"a"}}}`, false},
		},
	},
	{
		name: "streams for a function", source: tablesPage,
		doc: document(allow("lambda:InvokeFunction", "*"), allow("dynamodb:GetRecords dynamodb:GetShardIterator dynamodb:DescribeStream dynamodb:ListStreams", "*")),
		calls: []guided{
			{"lambda.Invoke", `{"FunctionName":"f"}`, true},
			{"dynamodbstreams.ListStreams", `{}`, true},
			{"dynamodbstreams.GetRecords", `{"ShardIterator":"hidden"}`, true},
			{"dynamodb.Scan", `{"TableName":"Cart"}`, false},
		},
	},
	{
		name: "describing, querying and scanning a table", source: tablesPage,
		doc: document(allow("dynamodb:DescribeTable dynamodb:Query dynamodb:Scan", "~dynamodb:table/Books")),
		calls: []guided{
			{"dynamodb.DescribeTable", `{"TableName":"Books"}`, true},
			{"dynamodb.Scan", `{"TableName":"~dynamodb:table/Books"}`, true},
			{"dynamodb.Scan", `{"TableName":"Books","IndexName":"byAuthor"}`, false},
			{"dynamodb.DescribeTable", `{"TableName":"Cart"}`, false},
			{"dynamodb.DeleteTable", `{"TableName":"Books"}`, false},
		},
	},
	{
		name: "everything on a table", source: tablesPage,
		doc: document(allow("dynamodb:*", "~dynamodb:table/Books")),
		calls: []guided{
			{"dynamodb.DeleteTable", `{"TableName":"Books"}`, true},
			{"dynamodb.CreateTable", `{"TableName":"Books"}`, true},
			{"dynamodb.BatchWriteItem", `{"RequestItems":{"Books":[{"DeleteRequest":{"Key":{"id":{"S":"1"}}}}]}}`, true},
			{"dynamodb.BatchWriteItem", `{"RequestItems":{"Books":[{"DeleteRequest":{"Key":{"id":{"S":"1"}}}}],"Cart":[]}}`, false},
			{"dynamodb.ListTables", `{}`, false},
		},
	},
	{
		name: "reading items", source: tablesPage,
		doc: document(allow("dynamodb:GetItem dynamodb:BatchGetItem", "~dynamodb:table/Books")),
		calls: []guided{
			{"dynamodb.GetItem", `{"TableName":"Books","Key":{"id":{"S":"1"}}}`, true},
			{"dynamodb.BatchGetItem", `{"RequestItems":{"Books":{"Keys":[{"id":{"S":"1"}}]}}}`, true},
			{"dynamodb.Query", `{"TableName":"Books"}`, false},
			{"dynamodb.UpdateItem", `{"TableName":"Books","Key":{"id":{"S":"1"}}}`, false},
		},
	},
	{
		name: "writing items", source: tablesPage,
		doc: document(allow("dynamodb:PutItem dynamodb:UpdateItem dynamodb:DeleteItem", "~dynamodb:table/Books")),
		calls: []guided{
			{"dynamodb.PutItem", `{"TableName":"Books","Item":{"id":{"S":"1"}}}`, true},
			{"dynamodb.TransactWriteItems", `{"TransactItems":[{"Update":{"TableName":"Books","Key":{"id":{"S":"1"}}}}]}`, true},
			{"dynamodb.BatchWriteItem", `{"RequestItems":{"Books":[{"PutRequest":{"Item":{"id":{"S":"1"}}}}]}}`, false},
			{"dynamodb.GetItem", `{"TableName":"Books","Key":{"id":{"S":"1"}}}`, false},
		},
	},
	{
		name: "a table and its indexes", source: tablesPage,
		doc: document(allow("dynamodb:*", "~dynamodb:table/Books ~dynamodb:table/Books/index/*")),
		calls: []guided{
			{"dynamodb.Query", `{"TableName":"Books","IndexName":"byAuthor","KeyConditionExpression":"a=:a","ExpressionAttributeValues":{":a":{"S":"x"}}}`, true},
			{"dynamodb.ExecuteStatement", `{"Statement":"SELECT * FROM Books.byAuthor"}`, true},
			{"dynamodb.Query", `{"TableName":"Books2","IndexName":"byAuthor","KeyConditionExpression":"a=:a","ExpressionAttributeValues":{":a":{"S":"x"}}}`, false},
			{"dynamodbstreams.DescribeStream", `{"StreamArn":"~dynamodb:table/Books/stream/2020"}`, false},
		},
	},
	{
		name: "reading and writing a table and its indexes", source: "Amazon DynamoDB Developer Guide, IAM policy to grant access to a specific DynamoDB table and its indexes",
		doc: document(allow("dynamodb:PutItem dynamodb:UpdateItem dynamodb:DeleteItem dynamodb:BatchWriteItem dynamodb:GetItem "+
			"dynamodb:BatchGetItem dynamodb:Scan dynamodb:Query dynamodb:ConditionCheckItem", "~dynamodb:table/Books ~dynamodb:table/Books/index/*")),
		calls: []guided{
			{"dynamodb.Scan", `{"TableName":"Books","IndexName":"byAuthor"}`, true},
			{"dynamodb.BatchWriteItem", `{"RequestItems":{"Books":[{"PutRequest":{"Item":{"id":{"S":"1"}}}}]}}`, true},
			{"dynamodb.DescribeTable", `{"TableName":"Books"}`, false},
			{"dynamodb.Scan", `{"TableName":"Cart","IndexName":"byUser"}`, false},
		},
	},
	{
		name: "a table for each tester", source: tablesPage,
		doc: document(allow("dynamodb:*", "~dynamodb:table/${aws:PrincipalTag/team}_ProductCatalog"),
			allow("dynamodb:ListTables dynamodb:DescribeTable cloudwatch:* sns:*", "*")),
		calls: []guided{
			{"dynamodb.PutItem", `{"TableName":"red_ProductCatalog","Item":{"id":{"S":"1"}}}`, true},
			{"dynamodb.PutItem", `{"TableName":"blue_ProductCatalog","Item":{"id":{"S":"1"}}}`, false},
			{"dynamodb.DescribeTable", `{"TableName":"blue_ProductCatalog"}`, true},
			{"dynamodb.ListTables", `{}`, true},
			{"sns.CreateTopic", `{"Name":"news"}`, true},
		},
	},
	{
		name: "tables that begin with a name", source: tablesPage,
		doc: document(allow("dynamodb:*", "~dynamodb:table/${aws:PrincipalTag/team}_*")),
		calls: []guided{
			{"dynamodb.DeleteTable", `{"TableName":"red_anything"}`, true},
			{"dynamodb.DeleteTable", `{"TableName":"blue_anything"}`, false},
		},
	},
	{
		// The actions on reserved capacity belong to no operation, so that nothing is
		// allowed by this that can be called.
		name: "no purchase of reserved capacity", source: tablesPage,
		doc: document(allow("dynamodb:DescribeReservedCapacity dynamodb:DescribeReservedCapacityOfferings", "~dynamodb:*"),
			statement("Deny", "dynamodb:PurchaseReservedCapacityOfferings", "~dynamodb:*", "")),
		calls: []guided{
			{"dynamodb.DescribeTable", `{"TableName":"Books"}`, false},
			{"dynamodb.DescribeLimits", `{}`, false},
		},
	},
	{
		name: "a table in the IAM guide", source: "IAM User Guide, Amazon DynamoDB: Allows access to a specific table",
		doc: document(allow("dynamodb:List* dynamodb:DescribeReservedCapacity* dynamodb:DescribeLimits dynamodb:DescribeTimeToLive", "*"),
			allow("dynamodb:BatchGet* dynamodb:DescribeStream dynamodb:DescribeTable dynamodb:Get* dynamodb:Query dynamodb:Scan dynamodb:BatchWrite* "+
				"dynamodb:CreateTable dynamodb:Delete* dynamodb:Update* dynamodb:PutItem", "arn:aws:dynamodb:*:*:table/MyTable")),
		calls: []guided{
			{"dynamodb.ListTables", `{}`, true},
			{"dynamodb.DescribeLimits", `{}`, true},
			{"dynamodb.DescribeTimeToLive", `{"TableName":"Cart"}`, true},
			{"dynamodb.UpdateTable", `{"TableName":"MyTable"}`, true},
			{"dynamodb.UpdateTable", `{"TableName":"MyTable2"}`, false},
			{"dynamodb.RestoreTableFromBackup", `{"TargetTableName":"MyTable","BackupArn":"~dynamodb:table/MyTable/backup/1"}`, false},
		},
	},
	{
		name: "items by identity in the IAM guide", source: "IAM User Guide, Amazon DynamoDB: Allows row-level access to DynamoDB based on an Amazon Cognito ID",
		doc: document(allowIf("dynamodb:DeleteItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem", scores,
			`{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${aws:PrincipalTag/team}"]}}`)),
		calls: []guided{
			{"dynamodb.DeleteItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"red"},"GameTitle":{"S":"g"}}}`, true},
			{"dynamodb.DeleteItem", `{"TableName":"GameScores","Key":{"UserId":{"S":"blue"},"GameTitle":{"S":"g"}}}`, false},
			{"dynamodb.BatchGetItem", `{"RequestItems":{"GameScores":{"Keys":[{"UserId":{"S":"red"}}]}}}`, false},
		},
	},
}
