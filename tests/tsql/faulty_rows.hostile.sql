SELECT TOP (101) n.[_row] AS [row], n.[_fault] AS [column_number] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE n.[_fault] IS NOT NULL ORDER BY n.[_row];
