SELECT COALESCE(CONVERT(nvarchar(128), @@SERVERNAME), CONVERT(nvarchar(128), SERVERPROPERTY(N'ServerName')), N'') AS [server], DB_NAME() AS [database];
