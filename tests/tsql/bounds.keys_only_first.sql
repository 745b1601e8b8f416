-- @P1 nvarchar "[dbo].[follows]"
SET LOCK_TIMEOUT 60000;
DECLARE @id int = OBJECT_ID(@P1), @last bigint = CONVERT(bigint, NULL), @current bigint, @valid bigint, @changed bigint, @at bigint;
SET XACT_ABORT ON;
SET TRANSACTION ISOLATION LEVEL SNAPSHOT;
BEGIN TRANSACTION;
SET @at = DATEDIFF_BIG(second, CONVERT(datetime2(0), N'1970-01-01', 121), SYSUTCDATETIME());
SET @current = CHANGE_TRACKING_CURRENT_VERSION();
SET @valid = CHANGE_TRACKING_MIN_VALID_VERSION(@id);
IF @last >= @valid AND @last < @current SELECT @changed = COUNT_BIG(*) FROM (SELECT x.[a] AS k1, x.[b] AS k2, x.SYS_CHANGE_VERSION AS v FROM CHANGETABLE(CHANGES [dbo].[follows], @last) AS x) AS c;
SET @valid = CHANGE_TRACKING_MIN_VALID_VERSION(@id);
COMMIT TRANSACTION;
SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET XACT_ABORT OFF;
SET LOCK_TIMEOUT -1;
SELECT @current AS current_version, @valid AS min_valid, @changed AS changed_keys, @at AS taken_at;
