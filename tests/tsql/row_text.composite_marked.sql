-- @P1 bigint 7
SELECT n.[_op_] AS [operation], LEFT(CONVERT(nvarchar(max), n.[區域]), 32000) AS [c1], LEFT(CONVERT(nvarchar(max), n.[modified], 121), 32000) AS [c2], LEFT(CONVERT(nvarchar(max), n.[at], 121), 32000) AS [c3], LEFT(CONVERT(nvarchar(max), n.[code]), 32000) AS [c4] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE n.[_row] = @P1;
